#!/usr/bin/env python3
"""Runs README.md: every command in it, as somebody who types it in after a `git clone`.

The commands of a `sh` block go, one after the other, into a shell that stays open from block to block, in a clean copy
of what git tracks, with an empty home. Each must exit 0, must not show a value unless that is what it is for, and must
do what `CHECKS` says of its kind; a command that needs something to be there first (a `.env`, an editor, a version to
go back to) finds it by `prepare`. Blocks of Python run in the environment that the shell has by then; one with fixtures
runs as a test that uses them. A block of commands without a server of its own is run twice: beside the server that the
first screen started, and in another copy where none runs.

What is replaced: `cargo` runs the binary under test (`COFFER_BIN`), ports are free ones, a question is answered with
yes. What is not run stands in `NOT_RUN` with its reason. A block in another language, and a command that begins with
a word nobody thought of, fail: they are to be taught here, or listed.

`readme.py [FILE]` runs FILE instead. I/O: processes, a folder under the temporary directory, 127.0.0.1.
"""

import ast
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import serving

README = pathlib.Path(sys.argv[1]) if sys.argv[1:] else serving.ROOT / "README.md"
ENV_FILE = serving.ROOT / "examples" / "btc-agent" / ".env"
COMMAND_SECONDS_MAX = 120
DEFAULT_PORT = "8200"

# What is not run: a pattern of the whole command, and why.
NOT_RUN = [
    (r"(sudo )?(systemctl|journalctl)\b", "needs systemd as its init"),
    (r"(docker|podman)\b", "builds an image, which no test does"),
    (r"(sudo )?(cp|install) .*/etc/", "changes this machine"),
    (r"cargo install\b", "builds what is under test once more"),
    (r"\./test\b", "is what runs this"),
    (r"git clone\b", "has happened: this is the clone"),
]
# The words that a command may begin with: nothing else is run unseen.
KNOWN_WORDS = {"aws", "cargo", "cat", "cd", "coffer", "curl", "echo", "eval", "export", "mkdir", "printf", "python"}
KNOWN_WORDS |= {"python3", "source", "target/release/coffer", "unset"}
# Commands whose business it is to show a value or a key.
SHOWS_VALUES = r"coffer (get|random|env)\b|get-secret-value|get-random-password|eval "

DATABASE_URL = "postgres://app:correct-horse@localhost/app"
NEW_VALUE = "a-new-value-that-nobody-guesses"
DOTENV = f"DATABASE_URL={DATABASE_URL}\nAPI_TOKEN=battery-staple-of-the-readme\n"

# In place of `cargo`, `coffer` and what `cargo build` makes: the binary under test, on a free port.
SHIM = """#!/bin/sh
case "$0" in *cargo)
    [ "$1 $2 $3" = "run --release --" ] || { echo "readme.py knows no cargo $*" >&2; exit 1; }
    shift 3 ;;
esac
case "$1" in up|serve)
    case " $* " in *" --listen"*) ;; *) exec "@BINARY@" "$@" --listen 127.0.0.1:@PORT@ ;; esac ;;
esac
exec "@BINARY@" "$@"
"""

# In place of somebody at an editor: JSON gets a field more, and anything else another text.
EDITOR = """#!/bin/sh
case "$(head -c 1 "$1")" in
"{") sed -i '1s/{/{"EDITED": "yes", /' "$1" ;;
*) printf 'edited by readme.py' >"$1" ;;
esac
"""

# Appended to a block with fixtures.
TESTS = """

def test_a_value_goes_in_and_comes_out(secrets):
    secrets.create_secret(Name="a", SecretString="v")
    assert secrets.get_secret_value(SecretId="a")["SecretString"] == "v"


def test_the_next_test_finds_nothing_of_it(secrets):
    assert secrets.list_secrets()["SecretList"] == []
"""


class Failed(Exception):
    """What README.md shows does not happen."""


def require(holds, sentence):
    if not holds:
        raise Failed(sentence)


def values_of(dotenv):
    pairs = re.findall(r"^([A-Za-z_]\w*)=(.*)$", dotenv, re.MULTILINE)
    return {key: value.strip("'\"") for key, value in pairs}


class Shell:
    """One bash that stays open, like a terminal: what a command exports is there for the next."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="shell-", dir=folder.parent))
        reading, self._writing = os.pipe()
        self._statuses = os.fdopen(reading, "rb")
        self.process = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            cwd=folder,
            env=environment,
            pass_fds=[self._writing],
            start_new_session=True,
        )

    def run(self, command):
        """The exit status, standard output and standard error of a command."""
        script, out, err = (self.work / name for name in ("script", "out", "err"))
        script.write_text(command + "\n")
        line = f'. "{script}" >"{out}" 2>"{err}" </dev/null; echo $? >&{self._writing}\n'
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        status = int(self._statuses.readline())
        return status, out.read_text(errors="replace"), err.read_text(errors="replace")

    def must(self, command):
        status, out, err = self.run(command)
        require(status == 0, f"preparing with `{command}` exited {status}: {err}")
        return out

    def environment(self):
        return dict(entry.split("=", 1) for entry in self.must("env -0").split("\0") if "=" in entry)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self._statuses.close()
        os.close(self._writing)


class Clone:
    """A clean copy of what git tracks, a home, ports, a shell, and at most one server."""

    def __init__(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="coffer-readme-"))
        self.folder = self.place / "coffer"
        self.ports = {}
        self.server = None
        self._copy()
        self._put_on_path()
        (self.folder / ".env").write_text(DOTENV)
        editor = self.place / "editor"
        editor.write_text(EDITOR)
        editor.chmod(0o755)
        path = [self.place / "bin", pathlib.Path(sys.executable).parent, "/usr/bin", "/bin"]
        self.shell = Shell(
            self.folder,
            serving.clean_environment(
                HOME=self.place / "home",
                PATH=os.pathsep.join(map(str, path)),
                NEW=NEW_VALUE,
                EDITOR=editor,
                PYTHONDONTWRITEBYTECODE=1,
            ),
        )

    def _copy(self):
        try:
            listed = subprocess.run(["git", "ls-files", "-z"], cwd=serving.ROOT, capture_output=True, check=True).stdout
            files = [name for name in listed.decode().split("\0") if name]
        except (OSError, subprocess.CalledProcessError):
            files = ["README.md"]
            files += [str(path.relative_to(serving.ROOT)) for path in (serving.ROOT / "examples").rglob("*")]
        for name in files:
            if (serving.ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(serving.ROOT / name, self.folder / name)
        (self.place / "home").mkdir()

    def _put_on_path(self):
        shim = SHIM.replace("@BINARY@", str(serving.binary_path())).replace("@PORT@", self.port(DEFAULT_PORT))
        found_as = (self.place / "bin/cargo", self.place / "bin/coffer", self.folder / "target/release/coffer")
        for path in found_as:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(shim)
            path.chmod(0o755)

    def port(self, shown):
        """The port that stands in for one that README.md shows."""
        return self.ports.setdefault(shown, str(serving.free_port()))

    def with_ports(self, text):
        return re.sub(r"(?<=:)(82\d\d)\b", lambda found: self.port(found[1]), text)

    def start(self, command):
        """Runs a server in the background, as in a terminal of its own, until it answers."""
        self.stop()
        log = self.place / "server.log"
        listen = re.search(r"--listen[ =]\S*:(\d+)", command)
        port = int(listen[1] if listen else self.port(DEFAULT_PORT))
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", re.sub(r"\s*&\s*$", "", command)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.shell.environment(),
                start_new_session=True,
            )
        self.server = serving.Server(process, port, self.folder, log)
        tls = "--tls" in command
        wait_until(lambda: process.poll() is not None or serving.is_ready(port, tls))
        require(process.poll() is None and serving.is_ready(port, tls), f"`{command}` did not start; it said:\n{self.server.said()}")
        return self.server.said()

    def stop(self):
        """Ctrl-C."""
        if self.server and self.server.process.poll() is None:
            os.killpg(self.server.process.pid, signal.SIGINT)
            try:
                status = self.server.process.wait(serving.STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(self.server.process.pid, signal.SIGKILL)
                raise Failed(f"the server does not go on Ctrl-C; it said:\n{self.server.said()}") from None
            require(status == 0, f"after Ctrl-C the server exited {status}; it said:\n{self.server.said()}")
        self.server = None

    def remove(self):
        if self.server and self.server.process.poll() is None:
            os.killpg(self.server.process.pid, signal.SIGKILL)
        self.shell.close()
        shutil.rmtree(self.place, ignore_errors=True)


def wait_until(holds):
    deadline = time.monotonic() + serving.START_SECONDS_MAX
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)


# What a command finds when it is typed.


def secret_in(command):
    """The name of the secret that a command of coffer works on."""
    words = [word.strip("'\"") for word in command.split("#" + " ")[0].split()]
    names = [word.partition("#")[0] for word in words[2:] if not word.startswith("-")]
    return names[0] if names else None


def prepare(clone, command):
    """Brings about what the reader would have by then; answers the command as it is to be run."""
    verb = re.search(r"\bcoffer (\w[\w-]*)", command)
    verb = verb[1] if verb else ""
    shell = clone.shell
    name = secret_in(command)
    if verb in {"get", "edit", "describe", "versions", "diff", "rollback", "tag", "delete", "restore"} and name:
        if shell.run(f"coffer versions '{name}'")[0] != 0:
            shell.must(f"printf one | coffer put '{name}'")
        if verb in {"diff", "rollback"} and shell.run(f"coffer diff '{name}'")[0] != 0:
            shell.must(f"printf two | coffer put '{name}'")
        if verb == "restore" and '"deleted":null' in shell.must(f"coffer describe '{name}' --json").replace(" ", ""):
            shell.must(f"coffer delete '{name}'")
    if verb == "restore-backup" and "--home" not in command:
        command = f"COFFER_HOME='{clone.place}/restored' {command}"
    asks = verb == "rollback" or (verb == "delete" and "--now" in command)
    if asks and "--yes" not in command:
        command = re.sub(r"\b(coffer (?:rollback|delete))\b", r"\1 --yes", command)
    return command


# What a command must have done, beyond exiting 0: a pattern, and a function of the clone, what it wrote to standard
# output, and all that it wrote.


def imported_by_up(clone, _, said):
    require("btc-agent/twitter/credentials" in said, f"`up` does not name the secret:\n{said}")
    require(f"127.0.0.1:{clone.port(DEFAULT_PORT)}" in said, f"`up` does not say where it serves:\n{said}")


def read_by_aws(_, out, said):
    fields = json.loads(json.loads(out)["SecretString"])
    require(fields == values_of(ENV_FILE.read_text()), "the aws CLI reads other fields than those of the .env")


def imported(clone, _, said):
    told = json.loads(clone.shell.must("coffer get app/production"))
    require(told == values_of(DOTENV), f"`import` made something else of the .env: {sorted(told)}")


def put(clone, _, said):
    require(clone.shell.must("coffer get app/api-key") == NEW_VALUE, "`put` put something else")


def shows(*texts):
    def check(_, out, said):
        for text in texts:
            require(text in out, f"`{text}` is not in the output:\n{said}")

    return check


def prints_one_field(_, out, said):
    require(out == DATABASE_URL, f"another field, or more than one: {len(out)} characters")


def says_something(_, out, said):
    require(said.strip(), "it says nothing")


CHECKS = [
    (r"cargo run .* up ", imported_by_up),
    (r"aws secretsmanager get-secret-value .*btc-agent", read_by_aws),
    (r"coffer import \.env --name app/production", imported),
    (r"coffer get app/production#DATABASE_URL", prints_one_field),
    (r"\| coffer put app/api-key", put),
    (r"coffer list\b", shows("app/production")),
    (r"coffer versions app/production", shows("AWSCURRENT")),
    (r"coffer describe app/production", shows("app/production", "AWSCURRENT")),
    (r"coffer audit tail", shows("RestoreSecret")),
    (r"coffer (audit verify|status|diff|rollback|random)\b", says_something),
    (r"curl .*/health", says_something),
    (r"curl .*/metrics", shows("coffer_")),
]


def commands_of(block):
    """The commands of a block, a line each; a line that ends with a backslash goes on."""
    joined = re.sub(r"\\\n\s*", " ", block)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def without_comment(command):
    return re.sub(r"\s+#\s.*$", "", command)


def is_server(command):
    return re.search(r"(^|\s)(coffer|--) (up|serve)\b", without_comment(command)) is not None


def reason_not_to_run(command):
    return next((reason for pattern, reason in NOT_RUN if re.match(pattern, command)), None)


def run_command(clone, shown):
    if reason := reason_not_to_run(shown):
        print(f"  --   {shown}\n       not run: {reason}")
        return
    word = re.sub(r"^(\w+=\S*\s+)*", "", shown).split()[0]
    require(word in KNOWN_WORDS, f"`{shown}`: teach readme.py to run `{word}`, or list it in NOT_RUN with a reason")
    command = prepare(clone, clone.with_ports(without_comment(shown)))
    if is_server(command):
        out = said = clone.start(command)
    else:
        status, out, err = clone.shell.run(f"timeout {COMMAND_SECONDS_MAX} {command}" if word == "aws" else command)
        said = out + err
        require(status == 0, f"`{shown}` exited {status}:\n{said}")
    if not re.search(SHOWS_VALUES, command):
        hidden = {**values_of(DOTENV), **values_of(ENV_FILE.read_text()), "NEW": NEW_VALUE}
        for key, value in hidden.items():
            require(len(value) < 8 or value not in said, f"`{shown}` shows the value of {key}")
    for pattern, check in CHECKS:
        if re.search(pattern, command):
            try:
                check(clone, out, said)
            except (Failed, ValueError, KeyError) as failure:
                raise Failed(f"`{shown}`: {failure}") from failure
    print(f"  ok   {shown}", flush=True)


def run_python(clone, block):
    script = clone.place / "test_readme.py"
    code = clone.with_ports(block)
    fixtures = "@pytest.fixture" in code
    script.write_text(code + (TESTS if fixtures else ""))
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(script)] if fixtures else [str(script)]
    done = subprocess.run(
        [sys.executable, *arguments],
        env=clone.shell.environment(),
        cwd=clone.folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
    )
    first = next(line for line in block.splitlines() if line.strip())
    said = done.stdout + done.stderr
    require(done.returncode == 0, f"the Python block `{first} …` exited {done.returncode}:\n{said}")
    if fixtures:
        require(" passed" in done.stdout and "failed" not in done.stdout, f"the fixtures do not work:\n{done.stdout}")
    elif "SecretString" in block:
        require(
            ast.literal_eval(done.stdout.strip()) == sorted(values_of(ENV_FILE.read_text())),
            f"the Python block prints something else: {done.stdout}",
        )
    print(f"  ok   {first} … ({len(block.splitlines())} lines of Python)", flush=True)


def blocks():
    """The section, language and text of each fenced block."""
    section, found = "", []
    pattern = re.compile(r"^## ([^\n]*)$|^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for heading, language, text in pattern.findall(README.read_text()):
        if heading:
            section = heading
        else:
            found.append((section, language, text))
    return found


def main():
    found = blocks()
    require(found, "README.md has no blocks any more: then this is not needed")
    beside, alone = Clone(), None
    try:
        for section, language, text in found:
            print(f"{section or 'the first screen'}:")
            known = language in {"sh", "python"}
            require(known, f"a block of `{language}` under `{section}`: teach readme.py what it is")
            if language == "python":
                run_python(beside, text)
                continue
            commands = commands_of(text)
            for command in commands:
                run_command(beside, command)
            if section and not any(map(is_server, commands)):
                print(f"{section}, where no server runs:")
                if alone is None:
                    alone = Clone()
                    if not commands[0].startswith("coffer init"):
                        alone.shell.must("coffer init")
                for command in commands:
                    run_command(alone, command)
        beside.stop()
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        beside.remove()
        if alone:
            alone.remove()
    print(f"README.md holds: {len(found)} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
