"""Where coffer's time goes while it answers GetSecretValue: by room of the house, and by function.

I/O: runs perf and wrk against a coffer of its own. A function that the compiler put into its caller counts as the
caller, so the rooms are true to a few percent, not to the digit.
"""

import collections
import os
import re
import shutil
import subprocess
import sys
import time

from servers import WORK, Servers, lua

CONNECTIONS = 16
SAMPLES_A_SECOND = 1999
# Time for perf to start within the load, and to have ended before it.
MARGIN_SECONDS = 2

# What answers requests; another thread's work counts under the thread's name.
WORKER_THREADS = "http"

# The first pattern that is found in a function's name says whose it is.
ROOMS = (
    # Generic code of others that a coffer type is plugged into is theirs.
    (r"^<?&?(?:mut )?(?:dyn )?coffer_(\w+?)::", None),
    (r"aws_lc|bignum|sha256_block|aes_hw|gcm_|GFp_|EVP_|HMAC|CRYPTO_|SHA256|OPENSSL", "cryptography (aws-lc)"),
    (r"serde_json|serde|rmp|itoa|ryu|zmij", "encoding (serde)"),
    (r"hyper|http|httparse|http_body", "hyper and http"),
    (r"tokio|mio::", "tokio"),
    (r"quick_cache", "the record cache"),
    (r"jiff", "dates (jiff)"),
    (r"redb", "redb"),
    (r"malloc|free|realloc|calloc|_int_|unlink_chunk|sysmalloc|tcache|\bmi_", "allocator"),
    (r"mem(cpy|move|set|cmp|chr)|str(len|cmp)", "copying and comparing (libc)"),
    (r"vdso|clock_gettime", "clock"),
    (r"zeroize", "zeroize"),
    (r"coffer_(\w+?)::", None),
    (r"core::|alloc::|std::|hashbrown", "Rust's library"),
)


class Profile:
    """Samples by room and by function."""

    def __init__(self, samples):
        self.total = sum(samples.values())
        self.samples = samples

    def _share(self, count):
        return f"{100 * count / self.total:.1f} %"

    def rooms_table(self, table):
        rooms = collections.Counter()
        for (room, _), count in self.samples.items():
            rooms[room] += count
        shown = [(room, count) for room, count in rooms.most_common() if count * 200 >= self.total]
        return table(["where", "share of the server's time"], [[room, self._share(count)] for room, count in shown])

    def symbols_table(self, table, most):
        rows = [[self._share(count), room, f"`{name}`"] for (room, name), count in self.samples.most_common(most)]
        return table(["self", "where", "function"], rows)


def profile(arguments):
    """Profiles coffer under load."""
    if not shutil.which("perf"):
        sys.exit("error: perf is not installed\nhint: install your system's package for it, often `linux-perf`")
    data, script = WORK / f"{os.getpid()}.perf", WORK / f"{os.getpid()}.lua"
    with Servers(arguments.binaries, arguments.server_core) as servers:
        coffer = servers.coffer()
        coffer.ask()
        script.write_text(lua(coffer.request()))
        seconds = max(arguments.seconds, 2)
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds + 2 * MARGIN_SECONDS}s", "-s", script]
        command = ["taskset", "-c", str(arguments.client_core), "wrk", *options, coffer.endpoint + "/"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as generating:
            time.sleep(MARGIN_SECONDS)
            record = ["perf", "record", "-q", "-g", "-F", str(SAMPLES_A_SECOND), "-p", str(coffer.process.pid)]
            subprocess.run([*record, "-o", data, "--", "sleep", str(seconds)], check=True)
            generating.wait()
        # The binary must be there when names are looked up; the server need not.
        told = subprocess.run(
            ["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"], capture_output=True, text=True, check=True
        )
    data.unlink()
    script.unlink()
    samples = collections.Counter(sample_of(stack) for stack in told.stdout.split("\n\n") if stack.strip())
    return Profile(samples)


def sample_of(stack):
    """The room and the function a sample was taken in: the thread's name, then the stack, innermost first."""
    thread, *lines = stack.strip().splitlines()
    frames = [frame_of(line) for line in lines]
    if not frames:
        return "unknown", "unknown"
    name, place = frames[0]
    if not thread.strip().startswith(WORKER_THREADS):
        return f"thread {thread.strip()}", name
    if is_kernel(place):
        return f"kernel: {system_call(frames)}", name
    for pattern, room in ROOMS:
        if found := re.search(pattern, name):
            return room or "coffer-" + found[1].replace("_", "-"), name
    return f"other ({place.rsplit('/', 1)[-1]})", name


def is_kernel(place):
    return "kernel" in place or place == "[unknown]"


def system_call(frames):
    """Which call led into the kernel: told by its entry there, or by libc's function around it."""
    for name, place in frames:
        if found := re.match(r"__(?:x64|arm64|se)_sys_(\w+)", name):
            return found[1]
        if not is_kernel(place):
            return re.sub(r"^_*(GI_|libc_)?_*", "", name) if "libc" in place else "other"
    return "other"


def frame_of(line):
    """`   55d… alloc::vec::… (/path/to/coffer)` as name and place."""
    address_and_name, _, place = line.strip().removesuffix(")").rpartition(" (")
    name = address_and_name.partition(" ")[2]
    # The hash at the end of a mangled name says nothing.
    return re.sub(r"::h[0-9a-f]{16}$", "", name), place
