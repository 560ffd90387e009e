"""What is measured beside the server: the agent, the resolver in a process, whole commands, and the binary itself.

I/O: runs the servers of servers.py, `cached_reads`, `exec_floor` and `process_time`; prints tables. Invariant: a figure
that has a goal stands beside its floor of the same round.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys

from servers import KEYS, MEASURED_NAME, MEASURED_VALUE, REGION, WORK, Servers, client_of

AGENT = "coffer agent"
FLOOR = "hyper, the agent's GET"
# Built without the stores of others, as bench/prepare does it.
BARE = "coffer-bare"
# Whole processes, in turns: so many of each, so often.
PROCESSES, TURNS = 20, 10
DOTENV = "".join(f"SECRET_{number}=correct-horse-battery-staple-{number:04}\n" for number in range(10))
MANIFEST_DOTENV = (
    "".join(f"[secrets.SECRET_{number}]\n" for number in range(10))
    + '[profiles.development]\nchain = ["env", "dotenv:.env", "default"]\n'
)
MANIFEST_STORE = f'[secrets.CREDENTIALS]\nfrom = "{{scheme}}://{MEASURED_NAME}"\n'


def filled_with_one(servers):
    """A server whose store holds the secret that is asked for."""
    coffer = servers.coffer("coffer for clients", filled=False)
    client_of(coffer.endpoint).create_secret(Name=MEASURED_NAME, SecretString=MEASURED_VALUE)
    return coffer


class Agents:
    """The agent beside hyper: a table of figures and one of ratios."""

    def __init__(self, results, figures_table, significant):
        self.figures = figures_table(results)
        self.ratios = []

        def ratio(kind, what):
            pairs = zip(results.all[AGENT][kind], results.all[FLOOR][kind], strict=True)
            return significant(statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs))

        for kind in [kind for kind in results.all[AGENT] if kind != "latency"]:
            load = f"{kind} connection" + ("s" if kind > 1 else "")
            self.ratios.append(["coffer agent / hyper, requests a second", load, ratio(kind, "rate"), "≥ 0.9"])
            self.ratios.append(["coffer agent / hyper, CPU a request", load, ratio(kind, "cpu"), ""])
        for what in ("p50", "p99"):
            load = "1 connection, one core for both"
            self.ratios.append([f"coffer agent / hyper, {what}", load, ratio("latency", what), ""])


def agents(arguments, results, tools, connections):
    """The agent's cached GET beside a hyper that answers the same."""
    for number in range(arguments.rounds):
        with Servers(arguments.binaries, arguments.server_core) as servers:
            agent = servers.agent(filled_with_one(servers), AGENT)
            compared = [servers.agent_floor(agent), agent]
            for count in connections:
                for server in compared:
                    tools.tell(arguments, number, f"{server.name}, {count} connections")
                    results.add(server.name, count, tools.load(server, count, arguments.client_core, arguments))
            for server in compared:
                tools.tell(arguments, number, f"{server.name}, latency on one core")
                results.add(server.name, "latency", tools.load(server, 1, arguments.server_core, arguments))
    return Agents(results, tools.figures_table, tools.significant)


def resolver(arguments, tools, rows):
    """Values that were read before, in process; and what is read anew, each time."""
    tools.tell(arguments, 0, "the resolver in a process")
    command = ["taskset", "-c", both(arguments), arguments.binaries / "cached_reads"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)
    for what, name in (("a whole document", "whole"), ("a field of one, behind `env`", "field")):
        for threads in (1, 2):
            on = "1 thread" if threads == 1 else "each of 2 threads"
            told = f"{figures[f'{name}_{threads}']:.0f} ns; floor {figures[f'floor_{threads}']:.0f} ns"
            rows.add(f"cached read of {what}, {on}", told, "< 200 ns" if threads == 1 else "")
    rows.add(f"calls of the store for {figures['callers']:,} who ask at once", str(figures["fetches"]), "1")
    with Servers(arguments.binaries, arguments.server_core) as servers:
        coffer = filled_with_one(servers)
        for store, how in (("coffer", "its socket"), ("aws", "its AWS door, by AWS's SDK")):
            name = f"agent, {store}, refreshNow"
            agent = servers.agent(coffer, name, "&refreshNow=true", store)
            tools.tell(arguments, 0, name)
            figures = tools.load(agent, 1, arguments.client_core, arguments)
            told = f"{1000 / figures.rate:.2f} ms on average, p99 {figures.p99 / 1000:.2f} ms"
            rows.add(f"read anew from coffer through {how}", told, "< 500 ms")


def processes(arguments, tools, rows):
    """Whole commands beside the least that could do the same, and what the binary weighs."""
    folder = WORK / f"{os.getpid()}-processes"
    shutil.rmtree(folder, ignore_errors=True)
    binaries = arguments.binaries
    with Servers(binaries, arguments.server_core) as servers:
        coffer = filled_with_one(servers)
        floor = servers.agent_floor(servers.agent(coffer, AGENT))
        for name, files in (
            ("dotenv", {".env": DOTENV, "coffer.toml": MANIFEST_DOTENV}),
            ("socket", {"coffer.toml": MANIFEST_STORE.format(scheme="coffer")}),
            ("aws", {"coffer.toml": MANIFEST_STORE.format(scheme="aws")}),
        ):
            (folder / name).mkdir(parents=True)
            for file, text in files.items():
                (folder / name / file).write_text(text)
        home = coffer.environment | {"HOME": str(folder)}
        home |= {"AWS_ENDPOINT_URL": coffer.endpoint, "AWS_REGION": REGION}
        home |= {"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]}
        ours = binaries / "coffer"
        address, get = f"127.0.0.1:{floor.port}", [ours, "get", MEASURED_NAME]
        commands = {
            "true": (folder, ["true"]),
            "floor, .env": (folder / "dotenv", [binaries / "exec_floor", "--file", ".env", "true"]),
            "run, .env": (folder / "dotenv", [ours, "run", "--", "true"]),
            "floor, GET": (folder, [binaries / "exec_floor", "--get", address, "CREDENTIALS", "true"]),
            "run, socket": (folder / "socket", [ours, "run", "--", "true"]),
            "get, socket": (folder, get),
            "run, aws": (folder / "aws", [ours, "run", "--", "true"]),
            "version": (folder, [ours, "--version"]),
        }
        if arguments.bare:
            commands["version, bare"] = (folder, [binaries / BARE, "--version"])
        measured = times_of(arguments, tools, home, commands)
        coffer.end(signal.SIGTERM)
        measured |= times_of(arguments, tools, home, {"get, in place": (folder, get)})
    shutil.rmtree(folder)

    def told(name):
        return f"{statistics.median(measured[name]):.2f} ms"

    def more(name, floor):
        return f"{statistics.median(a - b for a, b in zip(measured[name], measured[floor], strict=True)):+.2f} ms"

    rows.add("`true` alone", told("true"))
    rows.add("floor: reads `.env` and becomes `true`", told("floor, .env"))
    rows.add("`coffer run -- true`, ten values from `.env`", told("run, .env"))
    rows.add("… more than its floor", more("run, .env", "floor, .env"), "≤ +1 ms")
    rows.add("floor: one GET over loopback, becomes `true`", told("floor, GET"))
    rows.add("`coffer run -- true`, a value through a running server's socket", told("run, socket"))
    rows.add("… more than its floor", more("run, socket", "floor, GET"), "≤ +1 ms")
    rows.add("`coffer run -- true`, a value through coffer's AWS door, by AWS's SDK", told("run, aws"), "< 500 ms")
    rows.add("`coffer get` through the socket", told("get, socket"), "≤ 10 ms")
    rows.add("`coffer get` in place, a store of one secret", told("get, in place"), "≤ 10 ms")
    rows.add("`coffer --version`", told("version"))
    rows.add("the binary", mib(ours))
    if arguments.bare:
        rows.add("`coffer --version`, built without `aws`, `gcp` and `vault`", told("version, bare"))
        rows.add("the binary without them", mib(binaries / BARE))


def mib(path):
    return f"{path.stat().st_size / 2**20:.1f} MiB"


def times_of(arguments, tools, environment, commands):
    """Milliseconds of whole processes: of each command one median a turn, in turns."""
    times = {name: [] for name in commands}
    for turn in range(TURNS):
        tools.tell(arguments, 0, f"whole commands, turn {turn + 1} of {TURNS}")
        for name, (folder, command) in commands.items():
            timed = [arguments.binaries / "process_time", str(PROCESSES), *command]
            pinned = ["taskset", "-c", str(arguments.server_core), *timed]
            done = subprocess.run(pinned, check=False, capture_output=True, text=True, env=environment, cwd=folder)
            if done.returncode != 0:
                sys.exit(f"error: `{' '.join(map(str, command))}` failed:\n{done.stderr}")
            times[name].append(statistics.median(json.loads(done.stdout)) / 1000)
    return times


def both(arguments):
    return f"{arguments.server_core},{arguments.client_core}"
