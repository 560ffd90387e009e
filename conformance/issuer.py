"""An identity provider of the tests' own: keys made now, what it publishes, and tokens.

I/O: listens on 127.0.0.1 while a test asks it to.
"""

import base64
import contextlib
import http.server
import json
import threading
import time

import rsa


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value):
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer:
    """Publishes one RSA key under the name `k1`, unless a test has it answer otherwise."""

    def __init__(self, keys):
        self.public, self.private = keys
        self.answers = {}
        self.asked = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.name = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.name}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(issuer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body, headers = issuer.answers.get(self.path, (200, issuer.published(self.path), {}))
                headers = dict(headers)
                time.sleep(headers.pop("pause", 0))
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def published(self, path):
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        return json.dumps({"keys": [self.key()]}).encode()

    def key(self):
        return {"kid": "k1", "kty": "RSA", "alg": "RS256", "n": number(self.public.n), "e": number(self.public.e)}

    def token(self, header=None, **more):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "app", "aud": "sts.amazonaws.com", "iat": now, "exp": now + 300} | more
        parts = [{"alg": "RS256", "kid": "k1"} | (header or {}), claims]
        message = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{message}.{encoded(rsa.sign(message.encode(), self.private, 'SHA-256'))}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
