"""Requests signed by hand, for what no SDK would send: wrong signatures, old clocks, malformed bodies.

botocore's own signer signs (so the tests do not check coffer against a second reading of the specification);
urllib3 sends. `Signer` is a small signer of our own for load generators, where botocore is too slow; a test
checks it against botocore's.
"""

import datetime
import hashlib
import hmac
import json
import socket
from unittest import mock

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CONTENT_TYPE = "application/x-amz-json-1.1"
SERVICE = "secretsmanager"


class Reply:
    """An answer as it came over the wire."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error code without the namespace some AWS services put before it."""
        return self.json["__type"].rsplit("#", 1)[-1]

    @property
    def message(self):
        body = self.json
        return body["Message"] if "Message" in body else body["message"]


def encode(body):
    """A request body: bytes stay as they are, anything else becomes JSON."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def signed(endpoint, operation, body, keys, region, *, headers=None, now=None, service=SERVICE, token=None):
    """The headers botocore would send with this body, signed; `now` sets the signer's clock."""
    request = AWSRequest(
        method="POST",
        url=endpoint + "/",
        data=encode(body),
        headers={"Content-Type": CONTENT_TYPE, **({} if operation is None else target(operation)), **(headers or {})},
    )
    clock = now or datetime.datetime.now(datetime.timezone.utc)
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: clock):
        SigV4Auth(Credentials(*keys, token), service, region).add_auth(request)
    return dict(request.headers.items())


def target(operation):
    """The header that names the operation."""
    return {"X-Amz-Target": operation if "." in operation else f"secretsmanager.{operation}"}


def send(endpoint, body, headers, method="POST", path="/"):
    """Sends exactly this, once."""
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        answer = pool.request(method, endpoint + path, body=encode(body), headers=headers)
        return Reply(answer.status, answer.headers, answer.data)


class Signer:
    """Signature Version 4 for one key, region and endpoint, with the day's key kept: some 20 µs a request."""

    def __init__(self, host, keys, region, service=SERVICE):
        self.host, self.region, self.service = host, region, service
        self.access_key_id, self.secret = keys
        self.day = None

    def _key(self, day):
        key = f"AWS4{self.secret}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self.day, self.key = day, key

    def request(self, operation, body):
        """A whole HTTP/1.1 request as bytes."""
        now = datetime.datetime.now(datetime.timezone.utc)
        day, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        if day != self.day:
            self._key(day)
        payload = encode(body)
        names = "content-type;host;x-amz-date;x-amz-target"
        canonical = (
            f"POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{self.host}\nx-amz-date:{stamp}\n"
            f"x-amz-target:secretsmanager.{operation}\n\n{names}\n{hashlib.sha256(payload).hexdigest()}"
        )
        scope = f"{day}/{self.region}/{self.service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self.key, to_sign.encode(), "sha256").hex()
        head = (
            f"POST / HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: {CONTENT_TYPE}\r\nX-Amz-Date: {stamp}\r\n"
            f"X-Amz-Target: secretsmanager.{operation}\r\nContent-Length: {len(payload)}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n\r\n"
        )
        return head.encode() + payload


class Connection:
    """A keep-alive connection that sends prepared bytes and reads whole answers; as little as HTTP allows."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next answer: status, lowercased headers, body. ConnectionError if the other side hangs up."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(first.split()[1]), headers, body

    def _more(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server hung up")
        self.buffer += chunk

    def call(self, data):
        self.send(data)
        return self.receive()

    def close(self):
        self.socket.close()
