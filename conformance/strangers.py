#!/usr/bin/env python3
"""What somebody without a key can do to a server: nothing that others notice.

Two parts, each against a persistent store of its own:

- a flood: 5,000 unsigned or badly signed requests a second from one address. The audit log must not grow by more
  than 1 MiB, and a signed load at a fixed rate must be answered as before;
- the limits: JSON nested 10,000 deep, bodies of 1 GB (announced, and in chunks), headers and bodies sent a byte at
  a time. Each is told why (400, 413, 408) within its limit.

In both the server's memory stays flat: its peak, not only what is left afterwards.

`--seconds N` sets how long the flood lasts (60). I/O: processes, a folder under the temporary directory,
127.0.0.1 only; what is sent is bounded by that time.
"""

import argparse
import json
import multiprocessing
import select
import socket
import sys
import threading
import time

import serving
import signing

FLOOD_PER_SECOND = 5_000
SIGNED_PER_SECOND = 200
CONNECTIONS = 16
AUDIT_BYTES_MAX = 1024 * 1024
ANSWERED_SHARE_MIN = 0.98
LATE_MILLIS_MAX = 500  # the median, from when a request was due: loose, since a busy machine is no failure
FLOOD_SHARE_MIN = 0.9
RESIDENT_GROWTH_KIB_MAX = 32 * 1024
BODY_BYTES = 1024**3
BODY_BYTES_SENT_MAX = 16 * 1024 * 1024
REQUEST_SECONDS_MAX = 10
GRACE_SECONDS = 4


class Failed(Exception):
    """A stranger got further than promised."""


def require(holds, sentence):
    print(f"  {'ok  ' if holds else 'NO  '} {sentence}", flush=True)
    if not holds:
        raise Failed(sentence)


# The flood.


def bad_requests(port):
    """Requests of callers who prove nothing, prepared: no signature, unknown keys, wrong signatures, old ones."""
    host = f"127.0.0.1:{port}"
    body = {"SecretId": "strangers/a"}
    unsigned = signing.Signer(host, ("AKIASTRANGER00000000", "x"), serving.REGION).request("GetSecretValue", body)
    head, _, payload = unsigned.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Authorization")]
    prepared = [b"\r\n".join(lines) + b"\r\n\r\n" + payload]
    for n in range(8):
        prepared.append(
            signing.Signer(host, (f"AKIASTRANGER{n:08}", "x"), serving.REGION).request("GetSecretValue", body)
        )
        wrong = (serving.STORE_KEYS[0], f"wrong {n}")
        prepared.append(
            signing.Signer(host, wrong, serving.REGION).request("PutSecretValue", body | {"SecretString": "v"})
        )
    prepared.append(b"\r\n".join([*lines, b"Authorization: Bearer abc"]) + b"\r\n\r\n" + payload)
    return prepared


def flood(port, seconds, sent):
    """Sends at a fixed rate over a few connections, a batch each time; reads every answer."""
    connections = [signing.Connection(port) for _ in range(CONNECTIONS)]
    per_tick = 100
    started, ticks, prepared, prepared_at = time.monotonic(), 0, bad_requests(port), time.monotonic()
    while (now := time.monotonic()) - started < seconds:
        if now - prepared_at > 60:
            prepared, prepared_at = bad_requests(port), now
        due = started + ticks * per_tick / FLOOD_PER_SECOND
        if due > now:
            time.sleep(due - now)
        batch = [[] for _ in connections]
        for n in range(per_tick):
            batch[n % CONNECTIONS].append(prepared[(ticks * per_tick + n) % len(prepared)])
        for connection, requests in zip(connections, batch, strict=True):
            connection.send(b"".join(requests))
        for n, requests in enumerate(batch):
            for _ in requests:
                try:
                    status, headers, _ = connections[n].receive()
                except ConnectionError:
                    connections[n] = signing.Connection(port)
                    break
                assert 400 <= status < 500, status
                sent.value += 1
                if headers.get("connection") == "close":
                    connections[n].close()
                    connections[n] = signing.Connection(port)
                    break
        ticks += 1


def signed_load(port, seconds):
    """Reads at a fixed rate, come what may; tells how many were answered a second, and how late (ms, median)."""
    signer = signing.Signer(f"127.0.0.1:{port}", serving.STORE_KEYS, serving.REGION)
    connection = signing.Connection(port)
    offered = int(seconds * SIGNED_PER_SECOND)
    started, late = time.monotonic(), []
    for n in range(offered):
        due = started + n / SIGNED_PER_SECOND
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        elif -wait > seconds:
            break  # hopelessly behind
        status, _, _ = connection.call(signer.request("GetSecretValue", {"SecretId": "strangers/a"}))
        if status == 200:
            late.append((time.monotonic() - due) * 1000)
    elapsed = time.monotonic() - started
    late.sort()
    require(late, f"{len(late)} of {offered} signed requests answered")
    rate, half, most = len(late) / elapsed, late[len(late) // 2], late[int(len(late) * 0.99)]
    print(f"       {rate:.1f}/s, p50 {half:.2f} ms, p99 {most:.2f} ms", flush=True)
    return rate, half


def signed_bytes(line):
    record = json.loads(line)
    is_ours = record["eventName"] == "GetSecretValue" and "errorCode" not in record
    return len(line) + 1 if is_ours else 0


def make_store():
    store = serving.Store()
    store.init()
    store.run("put", "strangers/a", input=b"value")
    return store


def flooded(seconds):
    print(f"a flood of {FLOOD_PER_SECOND} requests a second for {seconds} s", flush=True)
    store = make_store()
    try:
        server = store.start()
        before, _ = signed_load(server.port, min(10, seconds))
        resident = server.resident_kib()
        audit_before = sum(len(line) + 1 - signed_bytes(line) for line in store.audit_lines())
        sent = multiprocessing.get_context("spawn").Value("q", 0)
        attacker = multiprocessing.get_context("spawn").Process(target=flood, args=(server.port, seconds, sent))
        attacker.start()
        deadline = time.monotonic() + 10
        while not sent.value and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        during, late = signed_load(server.port, seconds)
        attacker.join(seconds)
        rate = sent.value / max(time.monotonic() - started, seconds)
        if attacker.is_alive():
            attacker.kill()
        growth = server.resident_peak_kib() - resident
        require(server.stop() == 0, "the server stops cleanly after it")
        audit = sum(len(line) + 1 - signed_bytes(line) for line in store.audit_lines()) - audit_before
        require(attacker.exitcode == 0, f"{sent.value} requests refused, {rate:.0f} a second")
        require(
            rate >= FLOOD_SHARE_MIN * FLOOD_PER_SECOND, f"the flood reached {FLOOD_PER_SECOND} a second within 10 %"
        )
        require(
            audit <= AUDIT_BYTES_MAX, f"the audit log grew by {audit / 1024:.0f} KiB, at most {AUDIT_BYTES_MAX // 1024}"
        )
        share = during / before
        require(
            share >= ANSWERED_SHARE_MIN, f"signed throughput {during:.1f}/s against {before:.1f}/s without the flood"
        )
        require(late <= LATE_MILLIS_MAX, f"signed requests answered within {late:.1f} ms, half of them")
        require(growth <= RESIDENT_GROWTH_KIB_MAX, f"memory grew by {growth} KiB at its peak")
        require(store.run("audit", "verify", check=False).returncode == 0, "the audit log verifies")
    finally:
        end(store)


# The limits.


class Abuse:
    """A connection that misbehaves; notes what came of it."""

    def __init__(self, port, head, more, pause):
        self.port, self.head, self.more, self.pause = port, head, more, pause
        self.sent, self.status, self.seconds = 0, None, None

    def run(self):
        started = time.monotonic()
        answer = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
                connection.sendall(self.head)
                connection.settimeout(0.5)
                self.push(connection, started)
                connection.settimeout(GRACE_SECONDS)
                while chunk := connection.recv(65536):
                    answer += chunk
        except OSError:
            pass
        self.seconds = time.monotonic() - started
        if answer.startswith(b"HTTP/1.1 "):
            self.status = int(answer.split()[1])

    def push(self, connection, started):
        """Sends until the server stops taking it: an answer is there, or it hung up."""
        while self.sent < BODY_BYTES and time.monotonic() - started < 60:
            if select.select([connection], [], [], 0)[0]:
                return
            try:
                self.sent += connection.send(self.more)
            except TimeoutError:
                continue
            if self.pause:
                time.sleep(self.pause)


def abuse(port, count, head, more, pause=0.0):
    abuses = [Abuse(port, head, more, pause) for _ in range(count)]
    threads = [threading.Thread(target=each.run) for each in abuses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return abuses


def limits():
    print("bodies and headers beyond the limits", flush=True)
    store = make_store()
    try:
        server = store.start()
        signed_load(server.port, 2)
        host = f"127.0.0.1:{server.port}"
        signer = signing.Signer(host, serving.STORE_KEYS, serving.REGION)
        resident = server.resident_kib()

        deep = signer.request("GetSecretValue", b'{"SecretId":' + b"[" * 10_000 + b"]" * 10_000 + b"}")
        connection = signing.Connection(server.port)
        started = time.monotonic()
        statuses = {connection.call(deep)[0] for _ in range(100)}
        each = (time.monotonic() - started) / 100
        require(statuses == {400} and each < 0.1, f"JSON 10,000 deep: {statuses}, {each * 1000:.1f} ms each")

        head = signer.request("PutSecretValue", b"").split(b"Content-Length")[0]
        for what, framing, more in (
            ("announced", b"Content-Length: %d\r\n\r\n" % BODY_BYTES, b" " * 65536),
            ("in chunks", b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
        ):
            done = abuse(server.port, 8, head + framing, more)
            sent, slowest = max(each.sent for each in done), max(each.seconds for each in done)
            seen = sorted({each.status for each in done}, key=str)
            require(
                seen == [413] and sent <= BODY_BYTES_SENT_MAX,
                f"a body of 1 GB, {what}: {seen}, gone after {sent / 1e6:.1f} MB and {slowest:.1f} s",
            )

        for what, begin, more in (
            ("headers", b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x"),
            ("a body", head + b"Content-Length: 1000\r\n\r\n", b" "),
        ):
            done = abuse(server.port, 100, begin, more, pause=0.5)
            slowest = max(each.seconds for each in done)
            seen = sorted({each.status for each in done}, key=str)
            require(
                seen == [408] and slowest <= REQUEST_SECONDS_MAX + GRACE_SECONDS,
                f"{what} a byte at a time, over 100 connections: {seen}, ended after {slowest:.1f} s at most",
            )

        growth = server.resident_peak_kib() - resident
        require(growth <= RESIDENT_GROWTH_KIB_MAX, f"memory grew by {growth} KiB at its peak through all of it")
        signed_load(server.port, 2)  # it still answers
        require(server.stop() == 0, "the server stops cleanly after it")
        require("panicked" not in server.said(), "nothing panicked")
    finally:
        end(store)


def end(store):
    if store.server and store.server.process.poll() is None:
        store.server.kill()
    store.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    serving.binary_path()
    failed = 0
    for part in (lambda: flooded(seconds), limits):
        try:
            part()
        except Failed:
            failed += 1
    print("strangers got further than promised" if failed else "strangers got nowhere")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
