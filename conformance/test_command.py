"""The command line as README.md tells it in prose; the commands that it shows are run by readme.py."""

import hashlib
import json
import os
import pty
import subprocess
import sys

import boto3
import pytest
import serving
from botocore.exceptions import ClientError

ENV_FILE = serving.ROOT / "examples" / "btc-agent" / ".env"
NAME = "btc-agent/twitter/credentials"


@pytest.fixture
def store():
    made = serving.Store()
    yield made
    if made.server and made.server.process.poll() is None:
        made.server.kill()
    made.remove()


@pytest.fixture
def up(store):
    """The README's first command, on a free port; answers the server once it serves."""

    def run(*arguments):
        store.server = serving.start([serving.binary_path(), "up", *arguments], store.folder, store.environment())
        return store.server

    return run


def test_the_example_application(store, up):
    server = up(str(ENV_FILE), "--name", NAME)
    agent = serving.ROOT / "examples" / "btc-agent" / "agent.py"
    script = f'eval "$("{serving.binary_path()}" env)"; exec "{sys.executable}" "{agent}"'
    done = subprocess.run(
        ["sh", "-c", script], env=store.environment(), cwd=store.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "TWITTER_API_KEY" in done.stdout
    assert server.stop() == 0


def test_up_again_changes_only_what_changed(store, up):
    file = store.folder / "app" / ".env"
    file.parent.mkdir()
    file.write_text("KEEP=1\nCHANGE=one\nDROP=x\n")
    up(str(file)).stop()
    before = json.loads(store.run("versions", "app", "--json").stdout)["versions"]
    up(str(file)).stop()
    assert json.loads(store.run("versions", "app", "--json").stdout)["versions"] == before
    file.write_text("KEEP=1\nCHANGE=two\nNEW=y\n")
    said = up(str(file))
    said.stop()
    assert all(key in said.said() for key in ("CHANGE", "DROP", "NEW"))
    assert len(json.loads(store.run("versions", "app", "--json").stdout)["versions"]) == len(before) + 1


def test_up_beside_a_running_server_imports_through_it(store):
    store.init()
    server = store.start()
    done = store.run("up", str(ENV_FILE), "--name", NAME, "--listen", f"127.0.0.1:{serving.free_port()}")
    assert server.endpoint in done.stdout.decode()
    assert NAME in store.run("list").stdout.decode()


def test_output_is_the_same_in_place_and_over_the_socket(store):
    store.init()
    store.run("import", str(ENV_FILE), "--name", NAME)
    store.run("put", "app/binary", input=bytes(range(256)))
    commands = [
        ["get", NAME],
        ["get", f"{NAME}#TWITTER_API_KEY"],
        ["get", NAME, "--json"],
        ["get", "app/binary"],
        ["get", "app/none"],
        ["get", f"{NAME}#NONE"],
        ["versions", NAME, "--json"],
        ["versions", "app/none"],
        ["list", "--json"],
        ["put", "bad name"],
        ["import", str(ENV_FILE), "--name", NAME],
    ]

    def outcomes():
        done = [store.run(*command, input=b"v", check=False) for command in commands]
        return [(each.args, each.returncode, each.stdout, each.stderr) for each in done]

    in_place = outcomes()
    server = store.start()
    assert outcomes() == in_place
    assert server.stop() == 0


EXIT_CODES = [
    (["get", "none"], 3, "not-found"),
    (["versions", "none"], 3, "not-found"),
    (["get"], 2, "usage"),
    (["put", "a", "value-as-an-argument"], 2, "usage"),
    (["init"], 5, "conflict"),
    (["get", "bad name"], 7, "refused"),
    (["import", "none.env", "--name", "a"], 3, "not-found"),
]


@pytest.mark.parametrize("command, code, kind", EXIT_CODES, ids=lambda value: str(value))
def test_exit_codes(store, command, code, kind):
    store.init()
    done = store.run(*command, check=False)
    assert done.returncode == code, done.stderr
    assert b"value-as-an-argument" not in done.stderr
    done = store.run(*command, "--json", check=False)
    assert done.returncode == code, done.stderr
    if kind != "usage":
        assert json.loads(done.stderr)["error"]["kind"] == kind


def test_without_a_store(store):
    done = store.run("list", check=False)
    assert done.returncode == 3
    assert b"hint:" in done.stderr


def test_a_taken_port(store):
    store.init()
    server = store.start()
    other = serving.Store()
    try:
        other.init()
        assert other.run("serve", "--listen", f"127.0.0.1:{server.port}", check=False).returncode == 6
    finally:
        other.remove()


def test_a_throw_away_is_not_exposed_unasked(store):
    done = store.run("serve", "--dev", "--listen", f"0.0.0.0:{serving.free_port()}", check=False, timeout=10)
    assert done.returncode != 0
    assert b"0.0.0.0" in done.stderr


@pytest.mark.parametrize("command", [["get", NAME], ["env"]], ids=["get", "env"])
def test_nothing_secret_goes_to_a_terminal_unasked(store, command):
    store.init()
    store.run("import", str(ENV_FILE), "--name", NAME)
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [serving.binary_path(), *command],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=store.environment(),
        cwd=store.folder,
    )
    os.close(theirs)
    try:
        shown = os.read(ours, 65536)
    except OSError:
        shown = b""  # Linux answers so when nothing was written
    os.close(ours)
    assert (done.returncode, shown) == (2, b"")


def test_trust_that_others_change_during_the_question_is_not_given_back(store, up):
    up()
    for name in ("alice", "bob", "carol"):
        store.run("user", "add", name)
    store.run("role", "add", "deploy", "--trust-user", "alice", "--trust-user", "bob")
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [serving.binary_path(), "role", "trust", "deploy", "--user", "bob"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=store.environment(),
        cwd=store.folder,
    )
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 65536)
    store.run("role", "trust", "deploy", "--user", "carol", "--replace")
    trust = store.run("role", "trust", "deploy").stdout
    os.write(ours, b"y\n")
    while b"hint" not in shown:
        shown += os.read(ours, 65536)
    assert (asking.wait(20), asking.stdout.read()) == (5, b"")
    os.close(ours)
    assert b"is trusted to others than when it was read" in shown
    assert store.run("role", "trust", "deploy").stdout == trust and b"carol" in trust


def test_the_folders_are_the_owners_alone(store):
    store.init()
    server = store.start()
    for folder in (store.home, store.data):
        for path in [folder, *folder.rglob("*")]:
            open_to_others = path.stat().st_mode & 0o077
            assert not open_to_others or path.parent.stat().st_mode & 0o077 == 0, path
    for path in (store.data / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (store.home / ".gitignore").read_text().strip() == "*"
    server.stop()


def test_a_passphrase(store):
    good, bad = store.folder / "good", store.folder / "bad"
    good.write_text("correct horse battery staple")
    bad.write_text("wrong horse battery staple")
    for file in (good, bad):
        file.chmod(0o600)
    store.run("init", "--seal", "passphrase", COFFER_PASSPHRASE_FILE=good)
    store.run("put", "a", input=b"v", COFFER_PASSPHRASE_FILE=good)
    assert store.run("get", "a", COFFER_PASSPHRASE_FILE=good).stdout == b"v"
    refused = store.run("get", "a", check=False, COFFER_PASSPHRASE_FILE=bad)
    assert (refused.returncode, refused.stdout) == (4, b"")
    assert not list((store.data / "keys").glob("*")), "no key file is made beside a passphrase"


def test_every_call_is_recorded_without_its_value(store):
    store.init()
    store.run("put", "app/key", input=b"the value itself")
    store.run("get", "app/key")
    store.run("get", "app/none", check=False)
    records = [json.loads(line) for line in store.run("audit", "tail", "-n", "100", "--json").stdout.splitlines()]
    seen = [(record["eventName"], record.get("errorCode")) for record in records]
    assert ("CreateSecret", None) in seen
    assert ("GetSecretValue", None) in seen
    assert ("GetSecretValue", "ResourceNotFoundException") in seen
    reads = [record["userIdentity"] for record in records if record["eventName"] == "GetSecretValue"]
    assert {identity["principalId"] for identity in reads} == {f"local:{os.getuid()}"}
    assert "the value itself" not in json.dumps(records)


READS = b'"eventName":"GetSecretValue"'


def change_a_byte(data):
    at = data.rindex(READS) + len(READS) - 2
    return data[:at] + b"P" + data[at + 1 :]


def drop_a_line(data):
    lines = data.rstrip(b"\0").split(b"\n")
    middle = next(n for n, line in enumerate(lines) if READS in line)
    gone = lines.pop(middle)
    return b"\n".join(lines) + b"\0" * (len(data) - len(data.rstrip(b"\0")) + len(gone) + 1)


def cut_the_end(data):
    lines = data.rstrip(b"\0").rstrip(b"\n").split(b"\n")
    return (b"\n".join(lines[:-2]) + b"\n").ljust(len(data), b"\0")


@pytest.mark.parametrize("tamper", [change_a_byte, drop_a_line, cut_the_end])
def test_a_changed_log_does_not_verify(store, tamper):
    store.init()
    server = store.start()
    store.run("put", "app/key", input=b"v")
    for _ in range(5):
        store.run("get", "app/key")
    server.stop()
    assert store.run("audit", "verify").returncode == 0
    (path,) = [path for path in (store.home / "audit").rglob("*") if path.is_file() and READS in path.read_bytes()]
    path.write_bytes(tamper(path.read_bytes()))
    done = store.run("audit", "verify", check=False)
    assert done.returncode == 8, (done.stdout, done.stderr)


def test_a_file_that_was_changed_is_not_served(store):
    """A byte changed anywhere in the store's file must end in a refusal, or in the right value."""
    store.init()
    store.run("put", "app/key", input=b"the value itself")
    file = store.home / "store.redb"
    whole = file.read_bytes()
    digest = hashlib.sha256(whole).digest()
    used = [at for at in range(0, len(whole), 4096) if whole[at : at + 4096].strip(b"\0")]
    for n in range(12):
        page = used[digest[n] % len(used)]
        at = page + int.from_bytes(digest[n % 31 : n % 31 + 2], "big") % 4096
        if at >= len(whole):
            continue
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        done = store.run("get", "app/key", check=False)
        assert done.returncode in (0, 1, 3, 6, 8), (at, done.stderr)
        assert done.stdout == (b"the value itself" if done.returncode == 0 else b"")
        assert done.returncode == 0 or done.stderr.splitlines()[-1].startswith((b"error:", b"hint:")), (at, done.stderr)


def test_an_application_reads_its_own_secret_and_nothing_else(store, up):
    server = up(str(ENV_FILE), "--name", NAME)
    store.run("put", "other", input=b"another's")
    store.run("user", "add", "agent", "--reads", NAME)
    key = json.loads(store.run("key", "create", "agent", "--json").stdout)
    client = boto3.client(
        "secretsmanager",
        endpoint_url=key["AWS_ENDPOINT_URL"],
        aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
        region_name=key["AWS_REGION"],
    )
    assert "SecretString" in client.get_secret_value(SecretId=NAME)
    for call in (client.get_secret_value, client.describe_secret, client.delete_secret):
        with pytest.raises(client.exceptions.ClientError, match="because no identity-based policy allows"):
            call(SecretId="other")
    with pytest.raises(client.exceptions.ClientError) as denied:
        client.get_secret_value(SecretId="other")
    # As the denial says, and what it advises helps.
    request = denied.value.response["ResponseMetadata"]["RequestId"]
    told = json.loads(store.run("policy", "explain", "--request", request, "--json").stdout)
    assert told["principal"].endswith(":user/agent") and told["action"] == "secretsmanager:GetSecretValue"
    assert [statement["why"] for statement in told["considered"]] == ["it is about other resources"]
    assert json.loads(store.run("policy", "explain", "--last-denied", "--json").stdout)["request_id"] == request
    document = store.run("policy", "explain", "--last-denied", "--document").stdout
    assert json.loads(document) == told["document"]
    store.run("policy", "put", "more", "-", "--user", "agent", input=document)
    assert client.get_secret_value(SecretId="other")["SecretString"] == "another's"
    for secret, policy in ((NAME, "secrets"), ("other", "more")):
        ways = json.loads(store.run("who-can", "read", secret, "--json").stdout)["ways"]
        through = {way["arn"].rpartition(":")[2]: way["through"] for way in ways}
        assert set(through) == {"root", "user/admin", "user/agent"}
        assert through["user/agent"]["policy"] == policy
    # Whoever is deleted is out at once.
    store.run("user", "delete", "agent")
    with pytest.raises(client.exceptions.ClientError, match="security token included in the request is invalid"):
        client.get_secret_value(SecretId=NAME)
    assert server.stop() == 0


def test_a_refusal_is_explained_by_what_refuses(store, up):
    server = up(str(ENV_FILE), "--name", NAME)
    store.run("put", "app/db", input=b"v")
    store.run("user", "add", "app", "--reads", "app/db")

    def keys(user):
        made = json.loads(store.run("key", "create", user, "--json").stdout)
        return made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"]

    def client(service, key, token=None):
        return boto3.client(
            service,
            endpoint_url=server.endpoint,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            aws_session_token=token,
            region_name=serving.REGION,
        )

    def session(role, **more):
        arn = json.loads(store.run("role", "show", role, "--json").stdout)["arn"]
        made = client("sts", key).assume_role(RoleArn=arn, RoleSessionName="s1", **more)["Credentials"]
        return client("secretsmanager", (made["AccessKeyId"], made["SecretAccessKey"]), made["SessionToken"])

    def explained(call, **parameters):
        with pytest.raises(ClientError):
            call(**parameters)
        told = json.loads(store.run("policy", "explain", "--last-denied", "--json").stdout)
        without = store.run("policy", "explain", "--last-denied", "--document", check=False)
        assert (without.returncode == 0) == (told["document"] is not None)
        return told

    key = keys("app")
    secrets = client("secretsmanager", key)
    # A typing error.
    told = explained(secrets.get_secret_value, SecretId="app/dv")
    assert (told["now"], told["document"]) == ("no-secret", None) and "`app/db`" in told["advice"][0]
    # A role that trusts others, one with a condition, and none.
    store.run("role", "add", "deploy", "--trust-user", "admin", "--reads", "app/*")
    told = explained(lambda: session("deploy"))
    assert (told["now"], told["document"]) == ("not-trusted", None)
    assert "role trust deploy --add --user app" in told["advice"][1]
    store.run("role", "trust", "deploy", "--add", "--user", "app")
    deploy = session("deploy")
    assert deploy.get_secret_value(SecretId="app/db")["SecretString"] == "v"
    trust = json.loads(store.run("role", "trust", "deploy", "--json").stdout)["trust"]
    for statement in trust["Statement"]:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": "ours"}}
    store.run("role", "trust", "deploy", "--document", "-", "--replace", input=json.dumps(trust).encode())
    told = explained(lambda: session("deploy", ExternalId="theirs"))
    wanted = "sts:ExternalId is ours (it was `theirs`, as the request had it)"
    assert told["now"] == "not-trusted" and told["conditions"] == [wanted]
    account = told["resource"].split(":")[4]
    told = explained(
        client("sts", key).assume_role, RoleArn=f"arn:aws:iam::{account}:role/deplyo", RoleSessionName="s1"
    )
    assert told["now"] == "no-role" and "`deploy`" in told["advice"][0]
    # What a session was begun with.
    narrow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}
    told = explained(session("deploy", ExternalId="ours", Policy=json.dumps(narrow)).get_secret_value, SecretId="app/db")
    assert (told["now"], told["document"]) == ("out-of-session", None)
    # A boundary.
    iam = client("iam", store.keys)
    boundary = iam.create_policy(PolicyName="bound", PolicyDocument=json.dumps(narrow))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName="app", PermissionsBoundary=boundary)
    told = explained(secrets.get_secret_value, SecretId="app/db")
    assert (told["now"], told["document"]) == ("out-of-bounds", None) and boundary in told["advice"][0]
    iam.delete_user_permissions_boundary(UserName="app")
    # Credentials.
    told = explained(client("iam", key).list_users)
    assert told["now"] == "not-allowed" and told["document"]
    token = client("sts", key).get_session_token()["Credentials"]
    of_user = client("iam", (token["AccessKeyId"], token["SecretAccessKey"]), token["SessionToken"])
    assert explained(of_user.list_users)["now"] == "not-for-sessions"
    wrong = client("secretsmanager", (key[0], "wrong"))
    assert explained(wrong.list_secrets)["access_key"] == {"id": key[0], "state": "active", "user": "app"}
    store.run("key", "disable", "app")
    told = explained(secrets.get_secret_value, SecretId="app/db")
    assert told["now"] == "not-authenticated" and told["access_key"]["state"] == "disabled"
    assert f"key enable app {key[0]}" in told["advice"][0]
    store.run("user", "delete", "app")
    told = explained(secrets.get_secret_value, SecretId="app/db")
    assert told["access_key"] == {"id": key[0], "state": "unknown", "user": None}
    # What an auditor asks.
    reads = json.loads(store.run("who-read", "app/db", "--json").stdout)["reads"]
    reads = {entry["who"].rpartition(":")[2]: (entry["reads"], entry["refusals"], entry["session"]) for entry in reads}
    assert reads["role/deploy"] == (1, 1, "s1")
    assert reads["user/app"][1] == 1
    tail = store.run("audit", "tail", "--user", "deploy/s1", "--failed").stdout.decode().splitlines()
    assert [line.split()[1:] for line in tail[1:]] == [["GetSecretValue", "deploy/s1", "app/db", "AccessDenied"]]
    tail = store.run("audit", "tail", "--operation", "AssumeRole", "-n", "1").stdout.decode().splitlines()
    assert tail[1].split()[2:5] == ["app", "role", "deploy"]
    assert server.stop() == 0
