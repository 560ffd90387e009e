"""Starts and stops coffer for the tests: the one place that knows its command line, its folders and its ports.

I/O: builds the binary (once), makes folders under the system's temporary directory, runs processes on 127.0.0.1.
Invariant: what was started here is ended here, by its process id, and its folder goes with it.
"""

import functools
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ACCOUNT = "123456789012"
REGION = "us-east-1"
STORE_KEYS = ("AKIACONFORMANCE00001", "conformance/secret/key/that/is/only/for/tests")
DEV_KEYS = ("test", "test")
NOBODY_KEYS = ("nobody", "nobody")
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 15


@functools.cache
def binary_path():
    """The coffer under test: `COFFER_BIN`, or the debug build of this checkout, brought up to date once."""
    if chosen := os.environ.get("COFFER_BIN"):
        return pathlib.Path(chosen).resolve()
    subprocess.run(["cargo", "build", "--quiet", "-p", "coffer-cli"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (target / "debug" / "coffer").resolve()


def clean_environment(**more):
    """The caller's environment without anything that coffer or an AWS client would listen to."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COFFER_", "BOTO_", "XDG_"))
    }
    kept["AWS_EC2_METADATA_DISABLED"] = "true"
    return kept | {name: str(value) for name, value in more.items()}


def free_port():
    """A port that was free a moment ago. Whoever uses it must expect to lose the race, and ask again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running coffer and where it keeps its things."""

    scheme = "http"

    def __init__(self, process, port, folder, log):
        self.process = process
        self.port = port
        self.folder = folder
        self.log = log

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def said(self):
        """What it wrote to stdout and stderr so far."""
        return self.log.read_text(errors="replace")

    def resident_kib(self):
        """Resident memory in KiB, as the kernel counts it."""
        return self._memory_kib("VmRSS")

    def resident_peak_kib(self):
        """The most resident memory it ever had since it was started, in KiB."""
        return self._memory_kib("VmHWM")

    def _memory_kib(self, name):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1])

    def kill(self):
        """SIGKILL: nothing is flushed, nothing is closed."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, as an init system would; answers the exit status. A server that will not go fails the test."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"coffer did not stop in {STOP_SECONDS_MAX} s; it said:\n{self.said()}") from None
        return self.process.returncode


def is_ready(port, tls=False):
    """Whether a coffer answers there; over TLS, whoever's certificate it shows. Asking leaves no record."""
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_anywhere(arguments, store, tls):
    """A server of a store on every address of this machine, which listens to the tests' own for some seconds."""
    store.server = start(arguments, store.folder, store.environment(), tls, host="0.0.0.0")
    return store.server


def start(arguments, folder, environment, tls=False, host="127.0.0.1"):
    """Runs `arguments` with `--listen` on a free port until it answers. Another may take the port first: again."""
    log = folder / "server.log"
    for _ in range(5):
        port = free_port()
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*arguments, "--listen", f"{host}:{port}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
            )
        server = Server(process, port, folder, log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.poll() is None:
            # Still running after the answer: then it is ours that answered, and not whoever took the port.
            if is_ready(port, tls) and process.poll() is None:
                return server
            time.sleep(0.01)
        if process.poll() is None:
            server.kill()
            break
        if "in use" not in server.said().lower():
            break
        time.sleep(random.uniform(0.05, 0.2))
    raise AssertionError(f"`{' '.join(map(str, arguments))}` did not start; it said:\n{server.said()}")


class Dev:
    """`coffer serve --dev`: in memory, keys `test` and `nobody`, can be emptied."""

    kind = "dev"
    keys = DEV_KEYS

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coffer-dev-"))
        self.server = None

    def start(self):
        self.server = start([binary_path(), "serve", "--dev"], self.folder, clean_environment(HOME=self.folder))
        return self.server

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Store:
    """A persistent store: `coffer init` in a folder of its own, then `coffer serve` as often as asked."""

    kind = "store"
    keys = STORE_KEYS

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coffer-store-"))
        self.home = self.folder / ".coffer"
        self.data = self.folder / "data"
        self.server = None

    def environment(self, **more):
        access_key_id, secret_access_key = self.keys
        return clean_environment(
            HOME=self.folder,
            COFFER_HOME=self.home,
            COFFER_DATA_DIR=self.data,
            COFFER_ADMIN_ACCESS_KEY_ID=access_key_id,
            COFFER_ADMIN_SECRET_ACCESS_KEY=secret_access_key,
            **more,
        )

    def run(self, *arguments, input=None, check=True, timeout=60, **environment):
        """One coffer command to its end."""
        done = subprocess.run(
            [binary_path(), *arguments],
            input=input,
            capture_output=True,
            env=self.environment(**environment),
            cwd=self.folder,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"`coffer {' '.join(arguments)}` exited {done.returncode}:\n{done.stderr.decode()}")
        return done

    def init(self):
        return self.run("init", "--account-id", ACCOUNT, "--region", REGION)

    def start(self, *arguments, tls=False):
        self.server = start([binary_path(), "serve", *arguments], self.folder, self.environment(), tls)
        if tls:
            self.server.scheme = "https"
        return self.server

    def audit_bytes(self):
        """Bytes of records in the audit log; the space that segments reserve ahead is not counted."""
        return sum(len(line) + 1 for line in self.audit_lines())

    def audit_lines(self):
        """Every record in the audit log as the raw line it stands in, in no promised order between files."""
        for path in sorted((self.home / "audit").rglob("*")):
            if path.is_file():
                for line in path.read_bytes().rstrip(b"\0").splitlines():
                    if line.startswith(b"{") and b'"eventID"' in line:
                        yield line

    def audit_records(self):
        return [json.loads(line) for line in self.audit_lines()]

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
