#!/usr/bin/env python3
"""Counts the instructions that one GetSecretValue takes inside coffer, and compares them with `instructions.json`.

Instructions, as callgrind counts them, don't depend on what else the machine does, so a test can hold the read path to
them where it can't to microseconds. The example `answer_rate` of coffer-wire-aws runs under valgrind with two numbers
of rounds; the difference, divided, is what one answer takes, without what starting takes. More than the tolerance
above the expectation fails; that far below is told, and wants `--accept`, which writes the new number down.

A count belongs to a processor's architecture (and to the pinned compiler): one for which none is written down is told
and not judged. `--require` fails where valgrind is missing, instead of telling so.

I/O: cargo, valgrind, a folder under the temporary directory; writes `instructions.json` with `--accept`.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "bench" / "instructions.json"
EXAMPLE = "answer_rate"
ROUNDS = (200, 1_200)
REPETITIONS = 3  # of the example itself


def build():
    """The example in the profile that is released, and where it is."""
    command = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "coffer-wire-aws", "--example", EXAMPLE]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (ROOT / target / "release" / "examples" / EXAMPLE).resolve()


def count(example, rounds, folder):
    """The instructions of a whole run."""
    out = folder / f"callgrind.{rounds}"
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--", str(example), str(rounds)]
    done = subprocess.run(valgrind, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: `{' '.join(valgrind)}` exited {done.returncode}:\n{done.stderr[-2000:]}")
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(errors="replace"), re.MULTILINE)[1])


def per_answer(example):
    fewer, more = ROUNDS
    with tempfile.TemporaryDirectory(prefix="coffer-instructions-") as folder:
        counted = {rounds: count(example, rounds, pathlib.Path(folder)) for rounds in ROUNDS}
    return (counted[more] - counted[fewer]) / ((more - fewer) * REPETITIONS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accept", action="store_true", help="write the count down as what is expected")
    parser.add_argument("--require", action="store_true", help="fail if valgrind is missing")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed, so no instructions can be counted", flush=True)
        return 1 if options.require else 0
    counted = round(per_answer(build()))
    expectations = json.loads(EXPECTED.read_text())
    architecture, tolerance = platform.machine(), expectations["tolerance_percent"]
    expected = expectations["instructions_per_answer"].get(architecture)
    if options.accept:
        expectations["instructions_per_answer"][architecture] = counted
        EXPECTED.write_text(json.dumps(expectations, indent=2) + "\n")
        print(f"{counted} instructions an answer on {architecture}: written down (before: {expected})")
        return 0
    if expected is None:
        print(f"{counted} instructions an answer on {architecture}, for which none are expected; see --accept")
        return 0
    change = 100 * (counted - expected) / expected
    print(f"{counted} instructions an answer, expected {expected}: {change:+.2f} %, tolerance {tolerance} %")
    if change > tolerance:
        print(
            "FAILED: a read takes more instructions than it did\n"
            "hint: `bench/profile` shows where; if it is worth it, bench/instructions.py --accept, and say why",
            file=sys.stderr,
        )
        return 1
    if change < -tolerance:
        print("note: a read has become cheaper; bench/instructions.py --accept keeps it so")
    return 0


if __name__ == "__main__":
    sys.exit(main())
