"""What is measured beside GetSecretValue over HTTP: writes, growth, starting, and the command in place.

I/O: runs the servers of servers.py, `signed_load` and `redb_floor`; prints tables. Invariant: a figure that has a goal
stands beside its floor of the same round, or beside its own value on a small store.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from servers import WORK, Servers

GROWTH = (1_000, 100_000, 1_000_000)
WRITERS = 64
COLD_READS = 11
RESTARTS = 3
# Below this a request to a starting server is sent again at once.
RETRY_SECONDS = 0.0005


def signed_load(arguments, server, operation, core=None, **options):
    """Has `signed_load` work on a server; answers its figures."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    core = arguments.client_core if core is None else core
    command = ["taskset", "-c", str(core), arguments.binaries / "signed_load", f"127.0.0.1:{server.port}"]
    done = subprocess.run([*command, operation, *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: `{operation}` on {server.name} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def rate(figures):
    return figures["requests"] / (figures["microseconds"] / 1e6)


def create(arguments, server, first, end):
    """Makes the secrets numbered so, 64 at a time."""
    return signed_load(arguments, server, "create", connections=WRITERS, count=end - first, first=first)


class Rows:
    """A table whose rows say what was measured, how much it was, and what the goal is."""

    def __init__(self, table):
        self._table, self.rows = table, []

    def add(self, what, measured, goal=""):
        self.rows.append([what, measured, goal])

    def __str__(self):
        return self._table(["what", "measured", "goal"], self.rows)


def writes(arguments, tell, significant, table):
    """PutSecretValue, each on disk before it is acknowledged, beside redb alone."""
    rows = Rows(table)
    rates, floors, latencies = [], [], []
    for number in range(arguments.rounds):
        with Servers(arguments.binaries, arguments.server_core) as servers:
            coffer = servers.coffer(filled=False)
            create(arguments, coffer, 0, 1000)
            tell(arguments, number, "PutSecretValue, redb alone")
            floors.append(redb_floor(arguments))
            tell(arguments, number, "PutSecretValue, coffer")
            figures = signed_load(
                arguments, coffer, "put", connections=WRITERS, secrets=1000, seconds=arguments.seconds
            )
            rates.append(rate(figures))
            latencies.append((figures["p50"], figures["p99"]))
    middle = statistics.median
    rows.add("redb alone, group commit, the same keys and bytes", f"{significant(middle(floors))}/s")
    rows.add("coffer, 64 connections", f"{significant(middle(rates))}/s")
    p50, p99 = (significant(middle(values)) for values in zip(*latencies, strict=True))
    rows.add("coffer, p50 and p99 at 64 connections", f"{p50} µs, {p99} µs")
    ratios = [ours / floor for ours, floor in zip(rates, floors, strict=True)]
    rows.add("coffer / redb alone", significant(middle(ratios)), "≥ 0.6")
    return rows


def redb_floor(arguments):
    folder = WORK / f"{os.getpid()}-redb"
    shutil.rmtree(folder, ignore_errors=True)
    command = ["taskset", "-c", str(arguments.server_core), arguments.binaries / "redb_floor", folder]
    options = ["--writers", str(WRITERS), "--seconds", str(arguments.seconds), "--secrets", "1000"]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    shutil.rmtree(folder)
    return rate(json.loads(done.stdout))


def growth(arguments, tell, significant, table):
    """One store that grows: reads, pages, memory, starting again, and the command in place."""
    head = [
        "secrets",
        "made at 64 conn.",
        "GetSecretValue, 16 conn.",
        "p50, 1 conn., one core",
        "ListSecrets page of 100, p50",
        "RSS",
        "on disk",
        "start, clean",
        "start, after SIGKILL",
        "`coffer get`, in place",
    ]
    lines, figures = [], {}
    with Servers(arguments.binaries, arguments.server_core) as servers:
        tell(arguments, 0, "an empty store")
        coffer = servers.coffer(filled=False)
        idle = coffer.resident_mib()
        have = 0
        for size in [size for size in GROWTH if size <= arguments.secrets]:
            tell(arguments, 0, f"{size:,} secrets: making them")
            made = create(arguments, coffer, have, size)
            have = size
            tell(arguments, 0, f"{size:,} secrets: reading")
            several = read(arguments, coffer, "get", size, connections=16)
            alone = read(arguments, coffer, "get", size, core=arguments.server_core)
            pages = read(arguments, coffer, "list", size, core=arguments.server_core)
            resident, on_disk = coffer.resident_mib(), store_mib(coffer)
            tell(arguments, 0, f"{size:,} secrets: starting")
            clean = restart(arguments, coffer, signal.SIGTERM)
            resident_after = coffer.resident_mib()
            killed = restart(arguments, coffer, signal.SIGKILL)
            coffer.end(signal.SIGTERM)
            cold = cold_get(arguments, coffer, size)
            coffer.start()
            figures[size] = {
                "p50": alone["p50"],
                "page": pages["p50"],
                "resident": resident,
                "resident_after": resident_after,
                "clean": clean,
                "killed": killed,
                "cold": cold,
            }
            lines.append(
                [
                    f"{size:,}",
                    f"{significant(rate(made))}/s",
                    f"{significant(rate(several))}/s",
                    f"{alone['p50']} µs",
                    f"{pages['p50']} µs",
                    f"{resident:.0f} MiB",
                    f"{on_disk:.0f} MiB",
                    f"{clean * 1000:.0f} ms",
                    f"{killed * 1000:.0f} ms",
                    f"{cold * 1000:.1f} ms",
                ]
            )
    rows = Rows(table)
    small, usual = figures[min(figures)], figures.get(100_000)
    rows.add("RSS, idle, empty store", f"{idle:.0f} MiB", "≤ 20 MiB")
    if usual:
        told = f"{usual['resident']:.0f} MiB after making and reading them, {usual['resident_after']:.0f} MiB after a start"
        rows.add("RSS with 100,000 secrets", told, "≤ 120 MiB")
        rows.add("start to first answer, 100,000 secrets, clean", f"{usual['clean'] * 1000:.0f} ms", "≤ 100 ms")
        rows.add("start to first answer, 100,000 secrets, after SIGKILL", f"{usual['killed'] * 1000:.0f} ms", "≤ 1 s")
        rows.add("`coffer get` in place, 100,000 secrets", f"{usual['cold'] * 1000:.1f} ms", "≤ 10 ms")
    most = max(figures)
    if most > min(figures):
        grown = f"{min(figures):,} → {most:,} secrets"
        rows.add(f"read latency, {grown}", f"{significant(figures[most]['p50'] / small['p50'])} ×", "≤ 1.2 ×")
        rows.add(f"ListSecrets page, {grown}", f"{significant(figures[most]['page'] / small['page'])} ×", "≤ 1.5 ×")
    return table(head, lines), rows


def read(arguments, server, operation, secrets, connections=1, core=None):
    """Reads for a while; the first, short load warms up."""
    signed_load(arguments, server, operation, core=core, connections=connections, secrets=secrets, seconds=1)
    return signed_load(
        arguments, server, operation, core=core, connections=connections, secrets=secrets, seconds=arguments.seconds
    )


def store_mib(server):
    files = [path for path in (server.folder / "store").rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in files) / 2**20


def restart(arguments, server, how):
    """Ends a server in the middle of writes and starts it: the seconds until it answered a read."""
    times = []
    for _ in range(RESTARTS):
        command = ["taskset", "-c", str(arguments.client_core), arguments.binaries / "signed_load"]
        words = [f"127.0.0.1:{server.port}", "put", "--connections", "8", "--secrets", "1000", "--seconds", "30"]
        with subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as writing:
            time.sleep(0.5)
            server.end(how)
            writing.wait()
        begun = time.monotonic()
        server.start(wait=False)
        while not answers(arguments, server):
            time.sleep(RETRY_SECONDS)
            if time.monotonic() - begun > 60:
                sys.exit(f"error: {server.name} did not start again")
        times.append(time.monotonic() - begun)
    return statistics.median(times)


def answers(arguments, server):
    command = [arguments.binaries / "signed_load", f"127.0.0.1:{server.port}", "get"]
    options = ["--connections", "1", "--secrets", "1", "--count", "1"]
    return subprocess.run([*command, *options], check=False, capture_output=True).returncode == 0


def cold_get(arguments, server, secrets):
    """The whole process: `coffer get NAME` while no server runs."""
    number = secrets // 2
    name = f"load/{number % 100:02}/service-{number:07}"
    times = []
    for _ in range(COLD_READS):
        begun = time.monotonic()
        command = ["taskset", "-c", str(arguments.server_core), arguments.binaries / "coffer", "get", name]
        done = subprocess.run(command, check=False, env=server.environment, capture_output=True, cwd=server.folder)
        times.append(time.monotonic() - begun)
        if done.returncode != 0 or not done.stdout.startswith(b"correct-horse"):
            sys.exit(f"error: `coffer get` failed:\n{done.stderr.decode(errors='replace')}")
    return statistics.median(times)
