"""GetSecretValue side by side: a bare hyper server, coffer and moto, back to back, in rounds; then what rows.py and
clients.py have.

I/O: runs the servers of servers.py and wrk; prints tables; with `--write`, README.md beside it. Invariant: every
figure stands next to the floor's figure of the same round, and none is kept whose answers were not all 200.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import clients
import profiling
import rows
from servers import ROOT, SECRETS, TICKS_A_SECOND, WORK, Request, Servers, lua

BENCH = ROOT / "bench"
CONNECTIONS = (1, 16, 64)
# Floors and set-ups beside the plain ones.
APPENDING = "hyper + synced append"
FLOOR_TLS = "hyper TLS 1.3"
TWO_CORES = "coffer, two cores"
STATEMENTS = "coffer, 100 statements"
# wrk has one signature for the whole time, and coffer takes it for five minutes.
SECONDS_MAX = 240
# Foreign load, in cores, under which the machine counts as quiet.
QUIET_CORES = 0.1
# Above it the disk is busy or slow, and what waits for it is measured for nothing.
SYNC_MICROSECONDS_MAX = 500
SYNC_PROBES = 100


class Figures:
    """What one load gave."""

    def __init__(self, result, cpu_seconds, foreign_cores, resident_mib):
        self.rate = result["requests"] / (result["microseconds"] / 1e6)
        self.cpu = cpu_seconds * 1e6 / result["requests"]
        self.p50, self.p99 = result["p50"], result["p99"]
        self.foreign_cores, self.resident_mib = foreign_cores, resident_mib


def busy_seconds():
    """Time that the cores spent on anything, also on other machines' behalf."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = fields
    return (user + nice + system + interrupts + soft_interrupts + stolen) / TICKS_A_SECOND


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait_for_quiet(seconds_max):
    """Waits until nobody else works the machine, at most so long."""
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        before, since = busy_seconds(), time.monotonic()
        time.sleep(0.5)
        if (busy_seconds() - before) / (time.monotonic() - since) < QUIET_CORES:
            return


def sync_microseconds():
    """How long the disk takes to keep 1 KiB for good: a write into a file that has its size, then fdatasync."""
    path = WORK / f"{os.getpid()}.sync"
    times = []
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, SYNC_PROBES * 1024)
        os.fsync(file.fileno())
        for _ in range(SYNC_PROBES):
            before = time.perf_counter()
            file.write(b"x" * 1024)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - before) * 1e6)
    path.unlink()
    return statistics.median(times)


def load(server, connections, core, arguments):
    """Has wrk send the request over and over; answers the figures."""
    script = WORK / f"{os.getpid()}.lua"
    server.ask()
    wait_for_quiet(arguments.patience)
    # Signed last, so that the five minutes begin now.
    request = server.request()
    script.write_text(lua(request))
    options = ["-t1", f"-c{connections}", f"-d{arguments.seconds}s", "--timeout", "10s", "-s", script]
    command = ["taskset", "-c", str(core), "wrk", *options, server.endpoint + request.path]
    before = time.monotonic(), busy_seconds(), server.cpu_seconds(), children_seconds()
    wrk = subprocess.run(command, check=False, capture_output=True, text=True)
    after = time.monotonic(), busy_seconds(), server.cpu_seconds(), children_seconds()
    elapsed, busy, server_cpu, wrk_cpu = (end - start for start, end in zip(before, after, strict=True))
    script.unlink()
    line = next((line for line in wrk.stdout.splitlines() if line.startswith("RESULT ")), None)
    if wrk.returncode != 0 or line is None:
        sys.exit(f"error: wrk against {server.name} failed:\n{wrk.stdout}{wrk.stderr}")
    result = json.loads(line.removeprefix("RESULT "))
    if result["refused"] or result["broken"] or not result["requests"]:
        sys.exit(f"error: {server.name} did not answer all requests with 200:\n{wrk.stdout}")
    foreign = max(0.0, busy - server_cpu - wrk_cpu) / elapsed
    return Figures(result, server_cpu, foreign, server.resident_mib())


class Results:
    """All figures: server → kind of load → one for each round."""

    def __init__(self):
        self.all = {}
        self.sync_microseconds = None

    def add(self, server, kind, figures):
        self.all.setdefault(server, {}).setdefault(kind, []).append(figures)

    def median(self, server, kind, what):
        return statistics.median(getattr(figures, what) for figures in self.all[server][kind])

    def foreign(self):
        kinds = [rounds for server in self.all.values() for rounds in server.values()]
        loads = [figures.foreign_cores for rounds in kinds for figures in rounds]
        return statistics.median(loads), max(loads)


def measure(arguments):
    results = Results()
    results.sync_microseconds = sync_microseconds()
    durable = results.sync_microseconds <= SYNC_MICROSECONDS_MAX
    if not durable:
        print("the disk is too slow now for sync=always to be measured", file=sys.stderr)
    for round_number in range(arguments.rounds):
        with Servers(arguments.binaries, arguments.server_core) as servers:
            coffer = servers.coffer()
            answer = coffer.ask()
            compared = [servers.floor(*answer), coffer, servers.user(coffer, STATEMENTS, 100)]
            if durable:
                compared.append(servers.floor(*answer, name=APPENDING, append_bytes=record_bytes(coffer)))
                compared.append(servers.coffer("coffer sync=always", "--sync", "always"))
            certificate = make_certificate()
            pair = ["--tls", "--tls-certificate", certificate[0], "--tls-key", certificate[1]]
            compared.append(servers.floor(*answer, name=FLOOR_TLS, certificate=certificate))
            compared.append(servers.coffer("coffer TLS 1.3", *pair, scheme="https"))
            both = f"{arguments.server_core},{arguments.client_core}"
            compared.append(servers.coffer(TWO_CORES, cores=both))
            if not arguments.without_moto:
                compared.append(servers.moto())
            for connections in CONNECTIONS:
                for server in compared:
                    tell(arguments, round_number, f"{server.name}, {connections} connections")
                    core = both if server.name == TWO_CORES else arguments.client_core
                    figures = load(server, connections, core, arguments)
                    results.add(server.name, connections, figures)
            for server in compared:
                tell(arguments, round_number, f"{server.name}, latency on one core")
                results.add(server.name, "latency", load(server, 1, arguments.server_core, arguments))
    return results


def record_bytes(coffer):
    """How long the newest record of its audit log is, with its end of line."""
    command = [coffer.binary, "audit", "tail", "-n", "1"]
    done = subprocess.run(command, check=True, capture_output=True, env=coffer.environment, cwd=coffer.folder)
    return len(done.stdout)


def make_certificate():
    """A key and a certificate that signs itself, in files: what hyper and coffer both serve with."""
    certificate, key = WORK / "certificate.pem", WORK / "key.pem"
    if not certificate.exists():
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate]
        subprocess.run(["openssl", "req", "-x509", "-days", "30", *made, *names], check=True, capture_output=True)
        key.chmod(0o600)
    return certificate, key


def take_precedence(nice):
    """Puts this process and all it starts before others, or behind them."""
    if nice == 0:
        return
    try:
        os.nice(nice)
        # Where each session is scheduled as one, only the session's own value counts against others.
        group = pathlib.Path("/proc/self/autogroup")
        if group.exists():
            group.write_text(str(nice))
    except PermissionError:
        sys.exit("error: only root may put the load before others\nhint: leave out --nice")


def tell(arguments, round_number, what):
    print(f"round {round_number + 1} of {arguments.rounds}: {what}", file=sys.stderr, flush=True)


def significant(number):
    """Three digits that mean something."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(head, rows):
    """A table in Markdown, with columns as wide as they must be."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)


def figures_table(results):
    rates, cpu = [f"{n} conn." for n in CONNECTIONS], [f"CPU at {n}" for n in CONNECTIONS[1:]]
    head = ["server", *rates, *cpu, "p50", "p99", "RSS"]
    rows = []
    for server in results.all:
        rates = [f"{significant(results.median(server, n, 'rate'))}/s" for n in CONNECTIONS]
        cpu = [f"{significant(results.median(server, n, 'cpu'))} µs" for n in CONNECTIONS[1:]]
        latency = [f"{significant(results.median(server, 'latency', what))} µs" for what in ("p50", "p99")]
        resident = f"{results.median(server, CONNECTIONS[-1], 'resident_mib'):.0f} MiB"
        rows.append([server, *rates, *cpu, *latency, resident])
    return table(head, rows)


WHAT = {"rate": "requests a second", "cpu": "CPU a request", "p50": "p50", "p99": "p99"}


def ratios_table(results):
    """Ratios are taken within each round; the median of them is what counts."""

    def ratio(over, under, kind, what):
        pairs = zip(results.all[over][kind], results.all[under][kind], strict=True)
        return statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)

    told = []

    def compare(over, under, kind, what, goal):
        if over not in results.all or under not in results.all:
            return
        measured = significant(ratio(over, under, kind, what))
        told.append([f"{over} / {under}, {WHAT[what]}", told_load(kind), measured, goal])

    for connections in CONNECTIONS[1:]:
        compare("coffer", "hyper", connections, "rate", "≥ 0.50")
        compare("coffer", "hyper", connections, "cpu", "≤ 2")
    compare("coffer", "hyper", "latency", "p50", "≤ 1.3")
    compare("coffer", "hyper", "latency", "p99", "≤ 3")
    for connections in CONNECTIONS[1:]:
        compare("coffer", "moto", connections, "rate", "≥ 100")
    for connections in CONNECTIONS[1:]:
        compare("coffer sync=always", APPENDING, connections, "rate", "≥ 0.8" if connections == 64 else "")
    for connections in CONNECTIONS[1:]:
        compare("coffer TLS 1.3", FLOOR_TLS, connections, "rate", "≥ 0.50")
        compare("coffer TLS 1.3", FLOOR_TLS, connections, "cpu", "")
    for connections in CONNECTIONS[1:]:
        compare(STATEMENTS, "coffer", connections, "cpu", "≤ 1.10")
    # wrk shares the two cores with the server, so it is the server's time a request that tells what two would do.
    two = 2 / ratio(TWO_CORES, "coffer", 64, "cpu")
    told.append(["two cores / one core, from CPU a request", told_load(64), significant(two), "≥ 1.8"])
    return table(["ratio", "load", "measured", "goal"], told)


def told_load(kind):
    return "1 connection, one core for both" if kind == "latency" else f"{kind} connections"


def conditions(arguments, results):
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    known = (("sha_ni", "SHA-NI"), ("aes", "AES-NI"), ("vaes", "VAES"))
    extensions = ", ".join(name for flag, name in known if f" {flag} " in flags.replace("\n", " "))
    found = subprocess.run(["stat", "-f", "-c", "%T", WORK], capture_output=True, text=True, check=True)
    # The three share a number; none but the last is left.
    filesystem = found.stdout.strip().replace("ext2/ext3", "ext4")
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    usual, most = results.foreign()
    rounds = "1 round" if arguments.rounds == 1 else f"medians of {arguments.rounds} rounds"
    return (
        f"{datetime.date.today()}, {os.cpu_count()} cores with {extensions}, {filesystem}, Rust {rustc.stdout.split()[1]}; "
        f"{arguments.seconds} s a load, {rounds}; {SECRETS:,} secrets; "
        f"a request of {Request('http://127.0.0.1:8200').bytes_sent()} bytes; "
        f"1 KiB written and synced in {results.sync_microseconds:.0f} µs. "
        f"Others had {usual:.2f} of {os.cpu_count()} cores in the middle, {most:.2f} at most"
        + (f"; the load went before them (nice {arguments.nice})." if arguments.nice < 0 else ".")
    )


def measure_clients(arguments):
    """The agent's figures and ratios, and the rows of the resolver and of whole commands."""
    kinds = ("tell", "load", "figures_table", "significant")
    tools = collections.namedtuple("Tools", kinds)(tell, load, figures_table, significant)
    agents = clients.agents(arguments, Results(), tools, CONNECTIONS)
    parts = {
        "agent": agents.figures,
        "agent-ratios": table(["ratio", "load", "measured", "goal"], agents.ratios),
    }
    for name, measured in (("resolver", clients.resolver), ("processes", clients.processes)):
        told = rows.Rows(table)
        measured(arguments, tools, told)
        parts[name] = str(told)
    return parts


def write_readme(arguments, results, writes, growth, of_clients):
    profile = profiling.profile(arguments)
    parts = {
        "writes": str(writes),
        "growth": growth[0],
        "growth-ratios": str(growth[1]),
        "conditions": conditions(arguments, results),
        "figures": figures_table(results),
        "ratios": ratios_table(results),
        "rooms": profile.rooms_table(table),
        "symbols": profile.symbols_table(table, 15),
        **of_clients,
    }
    text = (BENCH / "README.template.md").read_text()
    for name, part in parts.items():
        text = text.replace("{{" + name + "}}", part)
    (BENCH / "README.md").write_text(text)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, help="of each load (8, or 2 with --quick)")
    parser.add_argument("--rounds", type=int, help="(3, or 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="one round of short loads: to see that it runs")
    parser.add_argument("--patience", type=int, default=30, help="seconds to wait for quiet before each load (30)")
    parser.add_argument("--nice", type=int, default=0, help="-20 puts the load before others' work; for root only (0)")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--secrets", type=int, default=100_000, help="the store grows to so many at most (100000)")
    parser.add_argument("--without-moto", action="store_true")
    parser.add_argument("--clients", action="store_true", help="only what clients use: agent, resolver, commands")
    parser.add_argument("--bare", action="store_true", help="also a coffer built without aws, gcp and vault")
    parser.add_argument("--profile", action="store_true", help="only profile coffer (bench/profile)")
    parser.add_argument("--write", action="store_true", help="write the figures and a profile to bench/README.md")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (2 if arguments.quick else 8)
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    if not 1 <= arguments.seconds <= SECONDS_MAX:
        parser.error(f"--seconds must be 1 to {SECONDS_MAX}")
    cores = os.sched_getaffinity(0)
    wanted = {arguments.server_core, arguments.client_core}
    if len(wanted) < 2 or not wanted <= cores:
        parser.error(f"server and client need a core each, of {sorted(cores)}")
    return arguments


def main():
    arguments = parse_arguments()
    WORK.mkdir(exist_ok=True)
    # What prepares and watches the load stays off the server's core.
    os.sched_setaffinity(0, {arguments.client_core})
    take_precedence(arguments.nice)
    if arguments.profile:
        profile = profiling.profile(arguments)
        print(profile.rooms_table(table), profile.symbols_table(table, 25), sep="\n\n")
        return
    if arguments.clients:
        print(*measure_clients(arguments).values(), sep="\n\n")
        return
    results = measure(arguments)
    print(conditions(arguments, results), figures_table(results), ratios_table(results), sep="\n\n", flush=True)
    writes = rows.writes(arguments, tell, significant, table)
    print("", writes, sep="\n", flush=True)
    growth = rows.growth(arguments, tell, significant, table)
    print("", *growth, sep="\n", flush=True)
    of_clients = measure_clients(arguments)
    print("", *of_clients.values(), sep="\n\n", flush=True)
    if arguments.write:
        write_readme(arguments, results, writes, growth, of_clients)


if __name__ == "__main__":
    main()
