"""Running coffer as a service: limits a caller meets, health and metrics, and what systemd does with it.

systemd's part is played here: a listening socket is passed as descriptor 3, and `NOTIFY_SOCKET` is listened to.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

import serving
from conftest import Target

DEPLOY = serving.ROOT / "deploy"


@pytest.fixture
def store():
    store = serving.Store()
    try:
        store.init()
        yield store
        assert store.server is None or "panicked" not in store.server.said()
    finally:
        if store.server and store.server.process.poll() is None:
            store.server.kill()
        store.remove()


def target_of(store):
    return Target("store", store.server.endpoint, store.keys, store)


def page_of(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def value(page, sample):
    found = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    assert found, f"no {sample} in:\n{page}"
    return float(found[1])


def test_a_principal_that_asks_too_often_is_throttled_and_the_log_does_not_grow_with_it(store):
    store.start("--rate-limit", "5")
    target = target_of(store)
    client = target.client()
    client.create_secret(Name="rate", SecretString="x")
    outcomes = []
    for _ in range(300):
        try:
            client.get_secret_value(SecretId="rate")
            outcomes.append("ok")
        except ClientError as error:
            answer = error.response
            assert answer["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}, answer["Error"]
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
            outcomes.append("throttled")
    assert outcomes.count("ok") >= 4 and outcomes.count("throttled") >= 200, outcomes
    # A client with retries, as they are by default, gets through.
    patient = target.client(retries={"mode": "standard", "total_max_attempts": 8})
    assert patient.get_secret_value(SecretId="rate")["SecretString"] == "x"
    page = page_of(store.server.port)
    throttled = value(page, 'coffer_authentication_failures_total{reason="rate_exceeded"}')
    assert throttled >= outcomes.count("throttled")
    assert store.server.stop() == 0
    recorded = [record for record in store.audit_records() if record.get("errorCode") == "ThrottlingException"]
    assert 0 < len(recorded) <= 100, len(recorded)


def test_at_the_rate_nobody_is_throttled(store):
    store.start("--rate-limit", "1000")
    client = target_of(store).client()
    client.create_secret(Name="rate", SecretString="x")
    for _ in range(200):
        client.get_secret_value(SecretId="rate")


def test_metrics_count_operations_and_name_nobody(store):
    store.start()
    target = target_of(store)
    client = target.client()
    client.create_secret(Name="a-name-that-is-nowhere-else", SecretString="a-value-that-is-nowhere-else")
    for _ in range(3):
        client.get_secret_value(SecretId="a-name-that-is-nowhere-else")
    with pytest.raises(ClientError):
        client.get_secret_value(SecretId="another-name")
    with pytest.raises(ClientError):
        target.client(keys=(store.keys[0], "not the key")).list_secrets()
    with pytest.raises(ClientError):
        target.client(keys=("AKIANOBODY0000000000", "x")).list_secrets()
    page = page_of(store.server.port)
    for sample, expected in {
        'coffer_operations_total{operation="GetSecretValue",outcome="ok"}': 3,
        'coffer_operations_total{operation="GetSecretValue",outcome="not_found"}': 1,
        'coffer_operations_total{operation="CreateSecret",outcome="ok"}': 1,
        'coffer_operation_duration_seconds_count{operation="GetSecretValue"}': 4,
        'coffer_operation_duration_seconds_bucket{operation="GetSecretValue",le="+Inf"}': 4,
        'coffer_authentication_failures_total{reason="wrong_signature"}': 1,
        'coffer_authentication_failures_total{reason="unknown_key"}': 1,
        "coffer_refusals_total": 2,
        "coffer_ready": 1,
        "coffer_audit_failing": 0,
    }.items():
        assert value(page, sample) == expected, sample
    assert value(page, 'coffer_operation_duration_seconds_sum{operation="GetSecretValue"}') > 0
    assert value(page, "coffer_cache_hits_total") > 0
    assert value(page, "coffer_audit_records") >= value(page, "coffer_audit_synced_records") > 0
    for word in ("nowhere-else", "another-name", "AKIA", "127.0.0.1", "admin"):
        assert word not in page
    # Each family is told once, before its samples, as Prometheus wants it.
    families = re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE)
    assert len(families) == len({name for name, _ in families})
    for line in page.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+', line), line


def test_metrics_on_a_port_of_their_own(store):
    port = serving.free_port()
    store.start("--metrics-listen", f"127.0.0.1:{port}")
    assert "coffer_build_info" in page_of(port)
    assert "ok" in page_of(port, "/health")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page_of(store.server.port)


def test_limits_are_what_the_command_line_says(store):
    store.start("--connections-per-source", "2", "--body-bytes", "2048", "--header-bytes", "2048")

    def ask(head, body=b""):
        # The connections before may not be off the count yet.
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", store.server.port), timeout=10) as connection:
                    connection.sendall(head + b"\r\n\r\n" + body)
                    if answer := connection.recv(4096):
                        return answer[9:12]
            except ConnectionError:
                pass
            time.sleep(0.1)
        raise AssertionError("never answered")

    def post(length):
        return ask(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d" % length, b"x" * length)

    assert (post(2048), post(2049)) == (b"400", b"413")
    line = b"GET /health HTTP/1.1\r\nhost: a\r\nx: "
    assert ask(line + b"a" * (2048 - len(line) - 4)) == b"200"
    assert ask(line + b"a" * (2049 - len(line) - 4)) == b"431"
    time.sleep(2)
    held = [socket.create_connection(("127.0.0.1", store.server.port), timeout=10) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", store.server.port), timeout=10) as third:
        assert third.recv(1) == b""
    for connection in held:
        connection.close()


def test_a_second_signal_ends_the_drain_at_once(store):
    store.start("--drain-time", "600", "--request-time", "600")
    with socket.create_connection(("127.0.0.1", store.server.port), timeout=10) as stuck:
        stuck.sendall(b"POST / HTTP/1.1\r\n")
        time.sleep(0.3)
        store.server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while "finishing what is under way" not in store.server.said():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert store.server.process.poll() is None
        store.server.process.send_signal(signal.SIGTERM)
        assert store.server.process.wait(20) == 0
    assert "stopping at once" in store.server.said()


class ServiceManager:
    """systemd's part: passes sockets and is told how the service is doing."""

    def __init__(self, store, abstract, names):
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in names]
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"\0coffer-{os.getpid()}-{id(self)}" if abstract else str(store.folder / "notify")
        self.notified.bind(name)
        self.notified.settimeout(20)
        # The shell gives its own process id to the program it becomes.
        script = 'LISTEN_PID=$$ exec "$@"'
        self.process = subprocess.Popen(
            ["sh", "-c", script, "sh", str(serving.binary_path()), "serve", "--listen", "127.0.0.1:1"],
            env=store.environment(
                LISTEN_FDS=len(names),
                LISTEN_FDNAMES=":".join(names),
                NOTIFY_SOCKET=name.replace("\0", "@"),
                WATCHDOG_USEC=400_000,
            ),
            preexec_fn=self._place_descriptors,
            close_fds=False,
            cwd=store.folder,
        )

    def _place_descriptors(self):
        # Away from where they are to be put, then there; `dup2` clears the flag that would close them.
        aside = [os.dup(os.dup2(listener.fileno(), 100 + number)) for number, listener in enumerate(self.listeners)]
        for number, descriptor in enumerate(aside):
            os.dup2(descriptor, 3 + number)

    def told(self, expected):
        """Waits for a message of the service."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            message = self.notified.recv(4096).decode()
            if message.startswith(expected):
                return message
        raise AssertionError(f"never told {expected}")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for listener in self.listeners:
            listener.close()
        self.notified.close()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_it_serves_the_socket_that_systemd_passes_and_says_how_it_is_doing(store, abstract):
    manager = ServiceManager(store, abstract, ["aws", "metrics"])
    try:
        port, metrics = (listener.getsockname()[1] for listener in manager.listeners)
        # Waits in the socket until it serves.
        assert "ok" in page_of(port, "/health")
        ready = manager.told("READY=1")
        assert f"STATUS=serving on http://127.0.0.1:{port}" in ready
        assert "coffer_build_info" in page_of(metrics)
        for _ in range(3):
            manager.told("WATCHDOG=1")
        manager.process.send_signal(signal.SIGTERM)
        manager.told("STOPPING=1")
        assert manager.process.wait(20) == 0
    finally:
        manager.end()


def test_sockets_that_are_not_meant_for_it_are_left_alone(store):
    environment = store.environment(LISTEN_FDS="1", LISTEN_PID="1")
    store.server = serving.start([serving.binary_path(), "serve"], store.folder, environment)
    assert store.server.stop() == 0
    done = subprocess.run(
        ["sh", "-c", 'LISTEN_PID=$$ exec "$@" 3<&-', "sh", serving.binary_path(), "serve"],
        env=store.environment(LISTEN_FDS="1"),
        cwd=store.folder,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 6
    assert b"the passed socket 0 is not one that listens on TCP" in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_understands_the_units(tmp_path):
    for unit in (DEPLOY / "systemd").iterdir():
        # The program is not installed here.
        text = unit.read_text().replace("/usr/local/bin/coffer", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode()
    ours = [line for line in said.splitlines() if "coffer" in line]
    assert done.returncode == 0 and not ours, said


def test_the_service_is_hardened():
    service = (DEPLOY / "systemd" / "coffer.service").read_text().splitlines()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "LimitCORE=0", "Type=notify", "UMask=0077"):
        assert line in service, line
    container = (DEPLOY / "container" / "Containerfile").read_text()
    assert "USER nonroot" in container and "HEALTHCHECK" in container
    assert pathlib.Path(DEPLOY / "README.md").is_file()
