"""`coffer agent`: what the AWS Secrets Manager Agent and the Lambda extension document, over the wire, and what coffer adds."""

import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import serving

TOKEN = "a-token-of-the-tests-0123456789"
MANIFEST = """
[secrets.X_API_KEY]
[secrets.ALSO]
required = false
[profiles.development]
chain = ["env", "coffer:bot", "default"]
"""


class Agent:
    """A running agent, and how to ask it."""

    def __init__(self, folder, environment, *arguments):
        self.log = folder / "agent.log"
        self.process = subprocess.Popen(
            [serving.binary_path(), "--json", "agent", "--listen", "127.0.0.1:0", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.open("ab"),
            env=environment,
            cwd=folder,
        )
        assert select.select([self.process.stdout], [], [], 20)[0], self.log.read_text()
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.announced = json.loads(line)
        self.endpoint = self.announced["endpoint"]

    def ask(self, path, method="GET", **headers):
        """Status, headers and body; with the token unless another is given."""
        named = {"X-Aws-Parameters-Secrets-Token": TOKEN} | {name.replace("_", "-"): v for name, v in headers.items()}
        named = {name: value for name, value in named.items() if value is not None}
        request = urllib.request.Request(self.endpoint + path, headers=named, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def secret(self, name, **parameters):
        """What GetSecretValue would say."""
        query = urllib.parse.urlencode({"secretId": name, **parameters})
        status, _, body = self.ask(f"/secretsmanager/get?{query}")
        assert status == 200, body
        return json.loads(body)

    def fault(self, name, **parameters):
        query = urllib.parse.urlencode({"secretId": name, **parameters})
        status, _, body = self.ask(f"/secretsmanager/get?{query}")
        return status, json.loads(body)["__type"]

    def metric(self, name):
        text = self.ask("/metrics")[2].decode()
        return int(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[-1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0, self.log.read_text()


@pytest.fixture
def agents(tmp_path):
    """Starts agents in a folder with a manifest; ends them."""
    started = []

    def start(*arguments, manifest=MANIFEST, token=TOKEN, environment=None, **variables):
        (tmp_path / "coffer.toml").write_text(manifest)
        environment = environment or serving.clean_environment(HOME=tmp_path)
        environment = environment | {name: str(value) for name, value in variables.items()}
        if token:
            environment["AWS_TOKEN"] = token
        started.append(Agent(tmp_path, environment, *arguments))
        return started[-1]

    yield start
    for agent in started:
        if agent.process.poll() is None:
            agent.process.kill()
        agent.process.wait()


@pytest.fixture
def store():
    made = serving.Store()
    made.init()
    made.start()
    yield made
    if made.server and made.server.process.poll() is None:
        made.server.kill()
    made.remove()


def put(store, name, value):
    store.run("put", name, input=value if isinstance(value, bytes) else value.encode())


def test_documented_requests(agents, store):
    put(store, "MyTest", '{"user":"u","password":"p"}')
    put(store, "team/db", "first")
    agent = agents(environment=store.environment())
    # As the agent's README does it: curl with the token header, then the extension's path.
    read = agent.secret("MyTest")
    assert read["SecretString"] == '{"user":"u","password":"p"}'
    assert read["ARN"].startswith(f"arn:aws:secretsmanager:{serving.REGION}:{serving.ACCOUNT}:secret:MyTest-")
    assert read["Name"] == "MyTest" and len(read["VersionId"]) == 36 and read["VersionStages"] == ["AWSCURRENT"]
    assert 0 <= time.time() - float(read["CreatedDate"]) < 120 and isinstance(read["CreatedDate"], str)
    status, headers, body = agent.ask("/v1/team/db", X_Aws_Parameters_Secrets_Token=None, X_Vault_Token=TOKEN)
    assert (status, json.loads(body)["SecretString"]) == (200, "first")
    assert headers["cache-control"] == "no-store"
    # By ARN it is the same document.
    fetches = agent.metric("coffer_agent_fetches_total")
    assert agent.secret(read["ARN"])["SecretString"] == read["SecretString"]
    assert agent.secret("MyTest")["SecretString"] == read["SecretString"]
    assert agent.metric("coffer_agent_fetches_total") <= fetches + 1
    # A new version: what is kept, what is there now, what was there before, by label and by id.
    first = agent.secret("team/db")["VersionId"]
    put(store, "team/db", "second")
    assert agent.secret("team/db")["SecretString"] == "first"
    assert agent.secret("team/db", refreshNow="true")["SecretString"] == "second"
    assert agent.secret("team/db")["SecretString"] == "second"
    assert agent.secret("team/db", versionStage="AWSPREVIOUS")["SecretString"] == "first"
    assert agent.secret("team/db", versionStage="AWSCURRENT")["SecretString"] == "second"
    assert agent.secret("team/db", versionId=first)["VersionStages"] == ["AWSPREVIOUS"]
    # What users asked that agent for: a field, and forgetting.
    assert agent.secret("MyTest", jsonKey="password")["SecretString"] == "p"
    assert agent.fault("MyTest", jsonKey="none") == (400, "ResourceNotFoundException")
    put(store, "team/db", "third")
    assert agent.ask("/v1/team/db", method="DELETE")[0] == 204
    assert agent.secret("team/db")["SecretString"] == "third"
    put(store, "team/db", "fourth")
    agent.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while agent.secret("team/db")["SecretString"] != "fourth":
        assert time.monotonic() < deadline
    agent.stop()


def test_refusals(agents, store):
    agent = agents("--path-prefix", "/secrets/", environment=store.environment())
    for path, method, headers, expected in [
        ("/ping", "GET", {"X_Aws_Parameters_Secrets_Token": None}, (200, b"healthy")),
        ("/ping", "GET", {"X_Forwarded_For": "10.0.0.1"}, (200, b"healthy")),
        ("/secrets/x", "GET", {"X_Aws_Parameters_Secrets_Token": None}, (403, b"Bad Token")),
        ("/secrets/x", "GET", {"X_Aws_Parameters_Secrets_Token": TOKEN + "x"}, (403, b"Bad Token")),
        ("/secrets/x", "GET", {"X_Aws_Parameters_Secrets_Token": ""}, (403, b"Bad Token")),
        ("/secrets/x", "GET", {"X_Forwarded_For": "10.0.0.1"}, (400, b"Forwarded")),
        ("/secrets/x", "GET", {"Forwarded": "for=10.0.0.1"}, (400, b"Forwarded")),
        ("/secrets/x", "POST", {}, (405, b"Not allowed")),
        ("/v1/x", "GET", {}, (404, b"Not found")),
        ("/secrets/x?refreshNow=2", "GET", {}, (400, b"invalid refreshNow value")),
        ("/secrets/x?abc=1", "GET", {}, (400, b"unknown parameter: abc")),
        ("/secretsmanager/get", "GET", {}, (400, b"missing parameter secretId")),
        ("/secretsmanager/get?secretId=exec%3A%2F%2Fid", "GET", {}, (400, b"secretId: no references are taken")),
        ("/secretsmanager/get?secretId=file%3A%2F%2F%2Fetc%2Fpasswd", "GET", {}, (400, b"secretId: no references are taken")),
        ("/secretsmanager/get?secretId=coffer%3A%2F%2Fx", "GET", {}, (400, b"secretId: no references are taken")),
    ]:
        status, _, body = agent.ask(path, method, **headers)
        assert (status, body) == expected, path
    assert agent.fault("nothing/there") == (400, "ResourceNotFoundException")
    put(store, "going", "x")
    store.run("delete", "going")
    assert agent.fault("going") == (400, "AccessDeniedException")
    # Not by a name with the request's own bytes in a log or an answer that is none.
    connection = http.client.HTTPConnection(agent.endpoint.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/" + "x" * 70000)
    connection.endheaders()
    assert connection.getresponse().status in (400, 414, 431)
    agent.stop()


def test_references_of_clients(agents, store):
    put(store, "bot", '{"KEY":"of the field"}')
    agent = agents("--allow-references", environment=store.environment())
    assert agent.secret("coffer://bot#KEY")["SecretString"] == "of the field"
    for reference, expected in [
        ("exec://id", b"secretId: only stores are asked"),
        ("file:///etc/passwd", b"secretId: only stores are asked"),
        ("coffer://bot?region=us-east-1", b"secretId: of parameters, only version and stage are taken"),
        ("aws://bot?role_arn=arn:aws:iam::1:role/x", b"secretId: of parameters, only version and stage are taken"),
        ("vault://secret/bot?kv=1", b"secretId: of parameters, only version and stage are taken"),
        ("vault://auth/token/lookup-self#id", b"secretId: that path is not asked for"),
        ("vault://secret/../sys/auth", b"secretId: that path is not asked for"),
    ]:
        query = urllib.parse.urlencode({"secretId": reference})
        assert agent.ask(f"/secretsmanager/get?{query}")[::2] == (400, expected), reference
    agent.stop()


def test_the_same_answer_whichever_way_coffer_is_reached(agents, store):
    put(store, "bot", '{"X_API_KEY":"v","\u00e4":"\\n"}')
    put(store, "bytes", b"\xff\x00\xfe")
    agent = agents("--ttl", "0s", environment=store.environment())
    names = ["bot", "X_API_KEY", "bytes"]
    served = [agent.secret(name) for name in names]
    assert [one["ARN"][:23] for one in served] == ["arn:aws:secretsmanager:"] * 3
    store.server.stop()
    for name, expected in zip(names, served, strict=True):
        status, headers, body = agent.ask(f"/v1/{name}")
        # It was read in place a moment ago: nothing is stale.
        assert (status, json.loads(body), headers["x-coffer-stale"]) == (200, expected, None)
    assert agent.secret("bot", versionId=served[0]["VersionId"]) == served[0]
    assert agent.fault("none") == (400, "ResourceNotFoundException")
    agent.stop()


def test_a_server_that_hangs_is_not_waited_for_twice(agents, store):
    put(store, "bot", '{"X_API_KEY":"v"}')
    agent = agents("--ttl", "1s", environment=store.environment())
    assert agent.secret("bot")["SecretString"]
    store.server.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(1.5)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(agent.ask, "/v1/bot")
            time.sleep(3)
            began = time.monotonic()
            status, _, body = agent.ask("/v1/bot?refreshNow=1")
            assert time.monotonic() - began < 11
            assert (status, json.loads(body)["__type"]) == (503, "InternalServiceError") and b"coffer serve" not in body
            # Who takes what was kept gets it, and is told how old it is.
            status, headers, body = first.result()
            assert (status, json.loads(body)["Name"]) == (200, "bot") and int(headers["x-coffer-stale"]) >= 1
    finally:
        store.server.process.send_signal(signal.SIGCONT)
    agent.stop()


def test_names_of_the_manifest(agents, store):
    put(store, "bot", '{"X_API_KEY":"of the store"}')
    agent = agents("--manifest-only", environment=store.environment(), ALSO="of the environment")
    assert agent.secret("X_API_KEY")["SecretString"] == "of the store"
    assert agent.secret("X_API_KEY")["ARN"].startswith("arn:aws:secretsmanager:")
    also = agent.secret("ALSO")
    assert (also["SecretString"], also["ARN"], also["Name"]) == ("of the environment", "env:ALSO", "ALSO")
    assert agent.ask("/v1/bot")[::2] == (403, b"coffer.toml names no such secret")
    # It was asked for at the start.
    assert agent.metric("coffer_agent_fetches_total") == 1
    agent.stop()


def test_binary_values(agents, store):
    put(store, "bytes", b"\xff\x00\xfe")
    agent = agents(environment=store.environment())
    assert base64.b64decode(agent.secret("bytes")["SecretBinary"]) == b"\xff\x00\xfe"
    agent.stop()


def slow_manifest(tmp_path, seconds="0"):
    """A store that is a program: it says what the file says, or is away while there is none, and writes each call down."""
    (tmp_path / "give.sh").write_text(f"echo x >> calls; sleep {seconds}; [ -f away ] && exit 6; cat value")
    return '[secrets.KEY]\nfrom = "exec:sh give.sh"\n'


def calls(tmp_path):
    return len((tmp_path / "calls").read_text().splitlines()) if (tmp_path / "calls").exists() else 0


def test_many_who_ask_at_once_share_one_fetch(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--no-prefetch", manifest=slow_manifest(tmp_path, "0.5"))
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda _: agent.secret("KEY")["SecretString"], range(40)))
    assert found == ["v"] * 40 and calls(tmp_path) == 1
    # All who want it as it is now share the next one, too: one for those who came while the first was under way.
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda _: agent.secret("KEY", refreshNow="1"), range(40)))
    assert calls(tmp_path) <= 4
    agent.stop()


def test_agents_that_start_together_need_not_ask_together(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    manifest = slow_manifest(tmp_path) + "".join(f'[secrets.K{n}]\nfrom = "exec:sh give.sh {n}"\n' for n in range(20))
    late = agents("--prefetch-jitter", "1000d", manifest=manifest)
    time.sleep(1)
    assert calls(tmp_path) == 0
    # Who asks is answered meanwhile.
    assert late.secret("KEY")["SecretString"] == "v" and calls(tmp_path) == 1
    late.stop()
    (tmp_path / "calls").unlink()
    soon = agents("--prefetch-jitter", "1s", manifest=manifest)
    deadline = time.monotonic() + 20
    while soon.metric("coffer_agent_documents") < 21:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert calls(tmp_path) == 21
    soon.stop()


def test_how_long_things_take_is_told(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--no-prefetch", manifest=slow_manifest(tmp_path, "0.3"))
    for _ in range(3):
        agent.secret("KEY")
    agent.ask("/v1/KEY", X_Aws_Parameters_Secrets_Token="none-of-the-agents-own")
    lines = dict(line.rsplit(" ", 1) for line in agent.ask("/metrics")[2].decode().splitlines() if not line.startswith("#"))
    # Three who asked, two of whom did not wait, and one call of the store.
    name = "coffer_agent_request_duration_seconds"
    assert (lines[name + "_count"], lines[name + '_bucket{le="0.25"}'], lines[name + '_bucket{le="11"}']) == ("3", "2", "3")
    assert float(lines[name + "_sum"]) >= 0.3
    name = "coffer_agent_fetch_duration_seconds"
    assert [lines[name + f'_count{{provider="{store}"}}'] for store in ("exec", "aws")] == ["1", "0"]
    assert 0.3 <= float(lines[name + '_sum{provider="exec"}']) < 10
    agent.stop()


def test_stale_is_bounded_and_said(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--ttl", "1s", "--stale", "3s", manifest=slow_manifest(tmp_path))
    assert agent.secret("KEY")["SecretString"] == "v"
    (tmp_path / "away").touch()
    time.sleep(1.5)
    status, headers, body = agent.ask("/v1/KEY")
    assert (status, json.loads(body)["SecretString"]) == (200, "v") and int(headers["x-coffer-stale"]) >= 1
    status, _, body = agent.ask("/v1/KEY?refreshNow=true")
    assert (status, json.loads(body)["__type"]) == (503, "InternalServiceError")
    time.sleep(4)
    assert agent.fault("KEY") == (503, "InternalServiceError")
    assert agent.metric("coffer_agent_stale_total") >= 1
    agent.stop()


def test_what_is_in_use_is_fetched_before_anybody_waits(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--ttl", "5s", "--no-prefetch", manifest=slow_manifest(tmp_path))
    assert agent.secret("KEY")["SecretString"] == "v"
    before = calls(tmp_path)
    deadline = time.monotonic() + 20
    while calls(tmp_path) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert agent.metric("coffer_agent_misses_total") == 1
    agent.stop()


def test_what_is_never_fresh_is_asked_for_by_clients_only(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--ttl", "0s", "--no-prefetch", manifest=slow_manifest(tmp_path))
    assert agent.secret("KEY")["SecretString"] == "v"
    time.sleep(2)
    assert calls(tmp_path) == 1
    agent.stop()


def test_a_name_with_a_time_of_its_own_is_kept_fresh(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--no-prefetch", manifest=slow_manifest(tmp_path) + 'fresh = "2s"\n')
    assert agent.secret("KEY")["SecretString"] == "v"
    time.sleep(7)
    # Every 1.6 seconds or a little later, and not at every look.
    assert 3 <= calls(tmp_path) <= 6
    agent.stop()


def test_a_start_while_the_store_is_away(agents, tmp_path):
    (tmp_path / "value").write_text("hunter2")
    manifest = slow_manifest(tmp_path)
    fallback = ["--fallback", tmp_path / "values.sealed", "--fallback-key", tmp_path / "key"]
    agent = agents(*fallback, manifest=manifest)
    assert agent.secret("KEY")["SecretString"] == "hunter2"
    agent.stop()
    assert b"hunter2" not in (tmp_path / "values.sealed").read_bytes()
    (tmp_path / "away").touch()
    without = agents(manifest=manifest)
    assert without.fault("KEY") == (503, "InternalServiceError")
    without.stop()
    again = agents(*fallback, manifest=manifest)
    status, headers, body = again.ask("/v1/KEY")
    assert (status, json.loads(body)["SecretString"]) == (200, "hunter2") and "x-coffer-stale" in headers
    assert again.metric("coffer_agent_recalled_total") >= 1
    again.stop()
    # What the store no longer has is not brought back by a later outage.
    (tmp_path / "give.sh").write_text("[ -f away ] && exit 6; exit 3")
    (tmp_path / "away").unlink()
    third = agents(*fallback, manifest=manifest)
    assert third.fault("KEY") == (400, "ResourceNotFoundException")
    (tmp_path / "away").touch()
    assert third.fault("KEY") == (503, "InternalServiceError")
    third.stop()


def test_what_is_forgotten_is_not_in_the_sealed_file(agents, store, tmp_path):
    put(store, "bot", '{"X_API_KEY":"v"}')
    put(store, "other", "v")
    fallback = ["--fallback", tmp_path / "values.sealed", "--fallback-key", tmp_path / "key"]

    def remembered(*names):
        """Which of these an agent that starts while the store is away still gives."""
        away = store.environment() | {"COFFER_HOME": str(tmp_path / "nowhere")}
        agent = agents(*fallback, "--no-prefetch", environment=away)
        found = [agent.ask("/v1/" + name)[0] == 200 for name in names]
        agent.stop()
        return found

    agent = agents(*fallback, environment=store.environment())
    arn = agent.secret("bot")["ARN"]
    names = ["X_API_KEY", "bot", arn, "other"]
    assert [agent.secret(name)["Name"] for name in names] == ["bot", "bot", "bot", "other"]
    agent.stop()
    assert remembered(*names) == [True] * 4
    agent = agents(*fallback, environment=store.environment())
    for name in names:
        agent.secret(name)
    assert agent.ask("/v1/bot", method="DELETE")[0] == 204
    agent.stop()
    assert remembered(*names) == [False, False, False, True]
    agent = agents(*fallback, "--no-prefetch", environment=store.environment())
    agent.secret("other")
    agent.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    agent.stop()
    assert remembered("other") == [False]


def test_a_key_that_systemd_gives(agents, tmp_path):
    """By an access control list, whose mask stands in the mode where the group's bits do."""
    (tmp_path / "value").write_text("v")
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "fallback-key").write_text("ab" * 32)
    (credentials / "fallback-key").chmod(0o440)
    fallback = ["--fallback", tmp_path / "values.sealed", "--fallback-key", credentials / "fallback-key"]
    agent = agents(*fallback, manifest=slow_manifest(tmp_path), CREDENTIALS_DIRECTORY=credentials)
    assert agent.secret("KEY")["SecretString"] == "v"
    agent.stop()
    with pytest.raises(AssertionError, match="others may read it"):
        agents(*fallback, manifest=slow_manifest(tmp_path))


def ask_socket(path, target):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(path))
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: stream.recv(65536), b""))


def test_unix_socket(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    path = tmp_path / "agent.sock"
    agent = agents("--socket", path, manifest=slow_manifest(tmp_path))
    # Who is calling is what the kernel says: no token.
    answer = ask_socket(path, "/v1/KEY")
    assert answer.startswith(b"HTTP/1.1 200") and b'"SecretString":"v"' in answer
    assert path.stat().st_mode & 0o777 == 0o600
    if os.getuid() == 0:
        path.chmod(0o666)
        tmp_path.chmod(0o711)
        for folder in tmp_path.parents[:2]:
            folder.chmod(folder.stat().st_mode | 0o011)
        script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r}); s.sendall(b'GET /ping HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100))"
        done = subprocess.run(["python3", "-c", script], user=65534, group=65534, capture_output=True, text=True, cwd="/")
        assert "200" not in done.stdout and (done.stdout == "b''\n" or "reset" in done.stderr.lower() or "pipe" in done.stderr.lower()), done
        assert agent.metric("coffer_agent_refused_peers_total") == 1
    agent.stop()
    assert not path.exists()


def test_token_of_a_file(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    agent = agents("--token-file", tmp_path / "token", manifest=slow_manifest(tmp_path), token=None)
    token = (tmp_path / "token").read_text().strip()
    assert agent.announced["token_file"] == str(tmp_path / "token") and len(token) == 64
    assert agent.ask("/v1/KEY", X_Aws_Parameters_Secrets_Token=token)[0] == 200
    assert agent.ask("/v1/KEY")[0] == 403
    agent.stop()
    folder = tmp_path / "made" / "folder"
    made = agents("--token-file", folder / "token", manifest=slow_manifest(tmp_path), token=None)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "token")] == [0o700, 0o600]
    made.stop()
    named = agents(manifest=slow_manifest(tmp_path), token=f"file://{tmp_path / 'token'}")
    assert named.ask("/v1/KEY", X_Vault_Token=token)[0] == 200
    named.stop()


def test_too_many_connections(agents, tmp_path):
    (tmp_path / "value").write_text("v")
    given = ["--max-connections", "2", "--no-prefetch", "--socket", tmp_path / "agent.sock"]
    agent = agents(*given, manifest=slow_manifest(tmp_path))
    host, port = agent.endpoint.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(2)]
    time.sleep(0.3)
    crowded = http.client.HTTPConnection(agent.endpoint.removeprefix("http://"), timeout=10)
    crowded.request("GET", "/v1/KEY", headers={"X-Vault-Token": TOKEN})
    answer = crowded.getresponse()
    assert (answer.status, answer.getheader("connection"), answer.read()) == (429, "close", b"Connection limit exceeded")
    assert agent.ask("/ping")[0] == 200
    # Who shows no token has gone after a while, and the other door was open all the time.
    assert ask_socket(tmp_path / "agent.sock", "/v1/KEY").startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 20
    while agent.ask("/v1/KEY")[0] == 429:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for stream in held:
        stream.close()
    # Who showed it may stay: between requests, and while an answer takes its time.
    slow_manifest(tmp_path, "7")
    assert agent.ask("/v1/KEY?refreshNow=1")[0] == 200
    kept = http.client.HTTPConnection(agent.endpoint.removeprefix("http://"), timeout=10)
    for pause in (0, 6):
        time.sleep(pause)
        kept.request("GET", "/v1/KEY", headers={"X-Vault-Token": TOKEN})
        answer = kept.getresponse()
        assert answer.status == 200 and answer.read()
    kept.close()
    agent.stop()


def test_the_log_leads_to_the_record(agents, store):
    put(store, "bot", '{"X_API_KEY":"hunter2"}')
    agent = agents("--log", "--no-prefetch", environment=store.environment())
    query = "/v1/X_API_KEY"
    assert agent.ask(query, X_Amzn_Trace_Id="Root=1-conformance")[0] == 200
    assert agent.ask(query, X_Amzn_Trace_Id="x" * 129, X_Request_Id="request-2")[0] == 200
    agent.stop()
    lines = [json.loads(line) for line in agent.log.read_text().splitlines() if line.startswith("{")]
    request = next(line for line in lines if line.get("event") == "request")
    fetch = next(line for line in lines if line.get("event") == "fetch")
    assert [line["request_id"] for line in lines if line.get("event") == "request"] == ["Root=1-conformance", "request-2"]
    assert request["request_id"] == "Root=1-conformance" and request["status"] == 200
    assert fetch["document"] == "coffer://bot" and fetch["outcome"] == "ok"
    assert "hunter2" not in agent.log.read_text()
    store.server.stop()
    assert fetch["fetch_id"] == request["request_id"]
    shown = store.run("audit", "show", "Root=1-conformance").stdout.decode()
    assert "GetSecretValue" in shown and "Called       Root=1-conformance" in shown, shown


def test_words(tmp_path):
    environment = serving.clean_environment(HOME=tmp_path, AWS_TOKEN=TOKEN)
    for arguments, code in [
        (["--listen", "0.0.0.0:0"], 2),
        (["--store", "exec:cat {name}"], 2),
        (["--token-file", "/dev/null/folder/token"], 1),
    ]:
        done = subprocess.run(
            [serving.binary_path(), "agent", *arguments], cwd=tmp_path, env=environment, capture_output=True, timeout=20
        )
        assert done.returncode == code, done.stderr
    for token in ["x", "fifteen-letters", "two words of more than 16"]:
        done = subprocess.run(
            [serving.binary_path(), "agent"], cwd=tmp_path, env=environment | {"AWS_TOKEN": token}, capture_output=True, timeout=20
        )
        assert done.returncode == 7 and b"holds no token" in done.stderr, done.stderr
    assert pathlib.Path(serving.binary_path()).exists()
