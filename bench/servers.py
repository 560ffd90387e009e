"""The servers that are compared: started on one core, filled with the same secrets, ended by their process id.

I/O: makes folders under bench/.work, runs processes on 127.0.0.1. Invariant: what was started here is ended here,
and its folder goes with it.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import warnings

import boto3
import botocore.awsrequest
import botocore.config

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "bench" / ".work"
REGION = "us-east-1"
KEYS = ("AKIABENCHMARKS000001", "benchmark/secret/key/that/is/only/for/measuring")
SECRETS = 1000
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
# A managed policy has at most 6,144 characters.
STATEMENTS_A_POLICY = 25
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def secret(number):
    """The name and the value of one of the secrets that every store holds."""
    value = {"username": f"service-{number:04}", "password": f"correct-horse-battery-staple-{number:04}"}
    return f"production/service-{number:04}/credentials", json.dumps(value)


MEASURED_NAME, MEASURED_VALUE = secret(SECRETS // 2)


class Request:
    """One signed request as boto3 sends it, taken from boto3 before it reaches the wire."""

    method, path = "POST", "/"

    def __init__(self, endpoint, keys=KEYS):
        taken = []

        def take(request, **_):
            taken.append(request)
            # An answer from here keeps boto3 from sending.
            return botocore.awsrequest.AWSResponse(request.url, 200, {}, Empty())

        client = client_of(endpoint, keys=keys)
        client.meta.events.register("before-send.secretsmanager.GetSecretValue", take)
        client.get_secret_value(SecretId=MEASURED_NAME)
        (sent,) = taken
        text = {name: value.decode() if isinstance(value, bytes) else value for name, value in sent.headers.items()}
        # These two are urllib3's; the first is among what boto3 signed.
        self.headers = {"Host": endpoint.partition("://")[2], "Accept-Encoding": "identity", **text}
        self.body = sent.body if isinstance(sent.body, bytes) else sent.body.encode()

    def bytes_sent(self):
        """How long it is on the wire."""
        lines = sum(len(name) + len(value) + 4 for name, value in self.headers.items())
        return len("POST / HTTP/1.1\r\n") + lines + 2 + len(self.body)


class AgentRequest:
    """What a program sends to coffer's agent, or to AWS's."""

    method, body = "GET", b""

    def __init__(self, token, more=""):
        self.path = f"/secretsmanager/get?secretId={MEASURED_NAME}{more}"
        self.headers = {"X-Aws-Parameters-Secrets-Token": token}


def lua(request):
    """The script that has wrk send a request over and over, and print what came of it as one line of JSON."""
    headers = "".join(
        f"wrk.headers[{lua_string(name)}] = {lua_string(value)}\n"
        for name, value in request.headers.items()
        # wrk counts by itself.
        if name.lower() != "content-length"
    )
    body = f"wrk.body = {lua_string(request.body.decode())}" if request.body else ""
    return f"""wrk.method = {lua_string(request.method)}
{body}
{headers}
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\\nRESULT {{"requests":%d,"microseconds":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d}}\\n',
        summary.requests, summary.duration, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


class Empty:
    """The body of the answer that boto3 gets instead of a server's."""

    def stream(self, **_):
        return iter([b"{}"])


def lua_string(text):
    return '"' + "".join(c if c.isalnum() or c in " -_./:;=," else f"\\{ord(c):03}" for c in text) + '"'


def client_of(endpoint, service="secretsmanager", keys=KEYS):
    """A boto3 client with nothing taken from the caller's environment."""
    session = boto3.session.Session(*keys, region_name=REGION)
    config = botocore.config.Config(retries={"total_max_attempts": 1}, ignore_configured_endpoint_urls=True)
    return session.client(service, endpoint_url=endpoint, config=config, verify=False)


def clean_environment(**more):
    """The caller's environment without anything that coffer or an AWS client would listen to."""
    dropped = ("AWS_", "COFFER_", "BOTO_", "XDG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | {
        name: str(value) for name, value in more.items()
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class AnotherCaller:
    """A server as somebody else asks it."""

    def __init__(self, server, name, keys):
        self._server, self.name, self.keys = server, name, keys

    def __getattr__(self, name):
        return getattr(self._server, name)

    def request(self):
        return Server.request(self)

    def ask(self):
        return Server.ask(self)


class Server:
    """A running server, all of whose threads are kept to one core, or to some."""

    def __init__(self, name, cores, command, environment, folder, scheme="http"):
        self.name, self.port, self.folder, self.environment = name, free_port(), folder, environment
        self.scheme = scheme
        self.log = folder / "log"
        self.keys = KEYS
        words = [str(word).replace("{port}", str(self.port)) for word in command]
        self.command = ["taskset", "-c", cores, *words]
        self.start()

    def start(self, wait=True):
        """Starts it, again if it was ended; returns once it listens, unless told not to wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while wait and not self.listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")
                self.stop()
                sys.exit(f"error: {self.name} did not start; it said:\n{said}")
            time.sleep(0.05)

    def end(self, how):
        """Ends its process; its folder stays."""
        self.process.send_signal(how)
        self.process.wait(STOP_SECONDS_MAX)

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def fill(self):
        """Gives it the secrets."""
        client = client_of(self.endpoint)
        with warnings.catch_warnings():
            # That the certificate is not checked.
            warnings.simplefilter("ignore")
            for number in range(SECRETS):
                name, value = secret(number)
                client.create_secret(Name=name, SecretString=value)

    def request(self):
        """What it is asked, over and over."""
        return Request(self.endpoint, self.keys)

    def ask(self):
        """Sends the request once and answers its headers and body, if they are what they must be."""
        request = self.request()
        # Whose certificate it is does not matter here; who answers is known.
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=ssl._create_unverified_context())
            if self.scheme == "https"
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        )
        with contextlib.closing(connection):
            connection.request(request.method, request.path, body=request.body, headers=request.headers)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            sys.exit(f"error: {self.name} answered {answer.status}: {body.decode(errors='replace')}")
        content = json.loads(body)
        if content["Name"] != MEASURED_NAME or content["SecretString"] != MEASURED_VALUE:
            sys.exit(f"error: {self.name} answered another secret than was asked for")
        return answer.headers, body

    def cpu_seconds(self):
        """The processor's time it has used, in user and in kernel mode."""
        # The second field, the name, is in brackets and may hold spaces.
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Servers(contextlib.ExitStack):
    """Starts servers, and ends them all on the way out."""

    def __init__(self, binaries, core):
        super().__init__()
        self.binaries, self.core = binaries, core

    def _start(self, name, command, cores=None, scheme="http", request=None, **environment):
        folder = WORK / f"{os.getpid()}-{''.join(c if c.isalnum() else '-' for c in name)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        environment = clean_environment(HOME=folder, **environment)
        command = command(folder, environment) if callable(command) else command
        server = Server(name, cores or str(self.core), command, environment, folder, scheme)
        self.callback(server.stop)
        if request:
            server.request = lambda: request(folder)
        return server

    def coffer(self, name="coffer", *options, filled=True, cores=None, scheme="http"):
        """A persistent store and its server, with the secrets in it unless told otherwise."""
        binary = self.binaries / "coffer"

        def make(folder, environment):
            environment |= {"COFFER_HOME": str(folder / "store"), "COFFER_DATA_DIR": str(folder / "data")}
            keys = {"COFFER_ADMIN_ACCESS_KEY_ID": KEYS[0], "COFFER_ADMIN_SECRET_ACCESS_KEY": KEYS[1]}
            command = [binary, "init", "--region", REGION]
            done = subprocess.run(
                command, check=False, env=environment | keys, cwd=folder, capture_output=True, text=True
            )
            if done.returncode != 0:
                sys.exit(f"error: `coffer init` failed:\n{done.stderr}")
            return [binary, "serve", "--listen", "127.0.0.1:{port}", *options]

        server = self._start(name, make, cores, scheme)
        server.binary = binary
        if filled:
            server.fill()
        return server

    def agent(self, coffer, name="coffer agent", more="", store="coffer"):
        """An agent over that server's store, through its socket or, with `store` as aws, its door for AWS's clients."""

        def make(folder, environment):
            environment |= {"COFFER_HOME": str(coffer.folder / "store"), "AWS_ENDPOINT_URL": coffer.endpoint}
            environment |= {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]}
            options = ["--token-file", folder / "token", "--store", store, "--no-prefetch"]
            return [self.binaries / "coffer", "agent", "--listen", "127.0.0.1:{port}", *options]

        return self._start(name, make, request=lambda folder: AgentRequest((folder / "token").read_text().strip(), more))

    def user(self, coffer, name, statements):
        """That server as a user asks it who has so many statements, of which the last allows the read."""
        iam = client_of(coffer.endpoint, "iam")
        iam.create_user(UserName="measured")
        action, arn = "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret"
        resources = [f"{arn}:staging/team-{number:03}/*" for number in range(statements - 1)]
        resources.append(f"{arn}:production/*")
        for first in range(0, statements, STATEMENTS_A_POLICY):
            told = [{"Effect": "Allow", "Action": action, "Resource": of} for of in resources[first:][:STATEMENTS_A_POLICY]]
            document = json.dumps({"Version": "2012-10-17", "Statement": told}, separators=(",", ":"))
            policy = iam.create_policy(PolicyName=f"measured-{first}", PolicyDocument=document)["Policy"]["Arn"]
            iam.attach_user_policy(UserName="measured", PolicyArn=policy)
        key = iam.create_access_key(UserName="measured")["AccessKey"]
        return AnotherCaller(coffer, name, (key["AccessKeyId"], key["SecretAccessKey"]))

    def moto(self, filled=True):
        """moto's server, with the secrets in it unless told otherwise."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]
        server = self._start("moto", command, PYTHONWARNINGS="ignore")
        if filled:
            server.fill()
        return server

    def agent_floor(self, agent):
        """hyper, answering what the agent answered to the same request."""
        headers, body = agent.ask()
        token = agent.request().headers.popitem()[1]

        def make(folder, _):
            (folder / "answer").write_bytes(body)
            fixed = [headers["content-type"], "none", "--agent"]
            return [self.binaries / "hyper_floor", "127.0.0.1:{port}", folder / "answer", *fixed]

        return self._start("hyper, the agent's GET", make, request=lambda _: AgentRequest(token))

    def floor(self, headers, body, name="hyper", append_bytes=None, certificate=None):
        """hyper, answering what coffer answered; with an append made durable before each answer, or over TLS."""

        def make(folder, _):
            (folder / "answer").write_bytes(body)
            fixed = [headers["content-type"], headers["x-amzn-requestid"]]
            options = ["--append", folder / "appended", append_bytes] if append_bytes else []
            if certificate:
                options += ["--tls", *certificate]
            return [self.binaries / "hyper_floor", "127.0.0.1:{port}", folder / "answer", *fixed, *options]

        return self._start(name, make, scheme="https" if certificate else "http")
