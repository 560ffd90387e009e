"""A small HTTP proxy before coffer, for what an SDK does when the network is at fault, and how often it asks.

I/O: listens on 127.0.0.1 on a port of its own, in threads that end with the process. Invariant: every request goes to
coffer once and unchanged, with its `Host`, so that its signature stays good; only the answer may be lost.
"""

import collections
import http.client
import http.server
import json
import threading


class Proxy:
    """Passes requests on. One that loses answers the first attempt of every call by closing the connection."""

    def __init__(self, upstream, *, loses_first_answers=False):
        self.upstream = upstream
        self.loses_first_answers = loses_first_answers
        self.seen = set()
        self.requests = collections.Counter()
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def count(self, operation, secret):
        with self.lock:
            self.requests[operation, secret] += 1

    def counted(self, operation, secret):
        with self.lock:
            return self.requests[operation, secret]

    def is_first_attempt(self, headers):
        """SDKs send one id for a call and all its attempts."""
        with self.lock:
            call = headers["amz-sdk-invocation-id"]
            first = call not in self.seen
            self.seen.add(call)
            return first

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
        try:
            connection.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        operation = self.headers["X-Amz-Target"].rsplit(".", 1)[-1]
        asked = json.loads(body)
        self.proxy.count(operation, asked.get("SecretId") or asked.get("Name", ""))
        if self.proxy.loses_first_answers and self.proxy.is_first_attempt(self.headers):
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        """`/OPERATION/SECRET`: how many such requests there were, as a bare number."""
        _, operation, secret = self.path.split("/", 2)
        content = str(self.proxy.counted(operation, secret)).encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
