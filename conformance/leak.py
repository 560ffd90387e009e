#!/usr/bin/env python3
"""Puts a marker in as a secret value, through every operation and every error there is, and looks for it after.

Searched: what the server and each command wrote to stdout and stderr (but for the value `coffer get` was asked
for), every refusal's body, the audit log, the store's file and every other file of the store and the user's data
directory, and the arguments of every process while it all ran. Forms: plain, base64 at its three alignments, hex,
percent-encoded, and with JSON's escapes. Numbers have a marker of their own, since a wrong type is quoted as it
stands by careless parsers.

A value can also be put where something else belongs: at the AWS door, in frames on the local socket, as the name in
`coffer get`. What is sent there has a third marker, with a space in it so that it is no legal name. The one who sent
it may be told it again; the records, and all else that is kept, must not hold it.

I/O: processes, a folder under the temporary directory, 127.0.0.1.
"""

import base64
import json
import pathlib
import random
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse

import rsa
import serving
import signing
import urllib3
from access import client
from botocore.exceptions import ClientError
from conftest import OPERATIONS, Target, new_token
from issuer import Issuer

LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def forms(marker):
    """The marker in every form it is likely to be written in, by name."""
    raw = marker.encode()
    found = {
        "plain": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "a list of numbers": ", ".join(map(str, raw)).encode(),
        "a list of numbers, dense": ",".join(map(str, raw)).encode(),
        "percent-encoded": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "JSON escapes": "".join(f"\\u{byte:04x}" for byte in raw).encode(),
        "JSON escapes, upper case": "".join(f"\\u{byte:04X}" for byte in raw).encode(),
        "UTF-16": marker.encode("utf-16-le"),
        "backwards": raw[::-1],
    }
    if (quoted := urllib.parse.quote(marker, safe="").encode()) != raw:
        found["quoted"] = quoted
    for shift in range(3):
        # The first and last characters depend on the neighbours; the ones between are the marker's alone.
        encoded = base64.b64encode(b"\0" * shift + raw)
        inner = encoded[4 if shift else 0 : len(encoded) - 4]
        found[f"base64, shifted by {shift}"] = inner
        found[f"base64 for URLs, shifted by {shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


class Hunt:
    """The markers, and every place they were found in."""

    def __init__(self):
        draw = random.SystemRandom()
        self.text = "lk" + "".join(draw.choice(LETTERS) for _ in range(24))
        self.number = str(draw.randrange(10**17, 10**18))
        self.misplaced = "wrong " + "".join(draw.choice(LETTERS) for _ in range(12)) + " place"
        self.kept_needles = [
            (f"misplaced ({form})", needle) for form, needle in forms(self.misplaced.split()[1]).items()
        ]
        self.needles = [
            (f"{what} ({form})", needle)
            for what, marker in (("text", self.text), ("number", self.number))
            for form, needle in forms(marker).items()
        ]
        self.found = []
        self.bytes = 0
        self.places = 0

    def search(self, place, data, needles=None):
        self.places += 1
        self.bytes += len(data)
        for form, needle in needles or self.needles:
            if (at := data.find(needle)) >= 0:
                shown = re.sub(rb"[^ -~]", b".", data[max(0, at - 60) : at])
                self.found.append(f"{place}: {form}, after …{shown.decode()}")

    def search_kept(self, place, data):
        """In what stays behind nothing may be found that was put in a wrong place either."""
        self.search(place, data, self.needles + self.kept_needles)

    def search_folder(self, folder):
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file():
                self.search_kept(f"file {path.relative_to(folder)}", path.read_bytes())


class Arguments(threading.Thread):
    """Reads the arguments of every process there is, over and over."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = set()
        self.ends = threading.Event()

    def run(self):
        while not self.ends.is_set():
            for entry in pathlib.Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        self.seen.add((entry / "cmdline").read_bytes())
                    except OSError:
                        pass
            time.sleep(0.002)


def bodies(hunt):
    """Bodies that hold a value where a value stands, or where a client's mistake may have put it."""
    text, number, token = hunt.text, hunt.number, new_token()
    encoded = base64.b64encode(text.encode()).decode()
    large = text * (70_000 // len(text))
    yield "malformed", b'{"Name":"leak/a","SecretString":"' + text.encode()
    yield "a value without a comma", b'{"SecretString":"' + text.encode() + b'" "Name":"leak/a"}'
    yield "a value without quotes", b'{"Name":"leak/a","SecretString":' + text.encode() + b"}"
    yield "an escape that is none", b'{"Name":"leak/a","SecretString":"' + text.encode() + b'\\q"}'
    yield "a number", b'{"Name":"leak/a","SecretString":' + number.encode() + b"}"
    yield "a number for a token", b'{"Name":"leak/a","ClientRequestToken":' + number.encode() + b',"SecretString":"x"}'
    yield "only the value", json.dumps(text).encode()
    yield "only a number", number.encode()
    yield "a list", [text, number]
    yield "an object for a string", {"Name": "leak/a", "SecretId": "leak/a", "SecretString": {"key": text}}
    yield "a list for a string", {"Name": "leak/a", "SecretId": "leak/a", "SecretString": [text]}
    yield "twice", b'{"Name":"leak/a","SecretString":"' + text.encode() + b'","SecretString":"' + text.encode() + b'"}'
    yield "base64 that is none", {"Name": "leak/a", "SecretId": "leak/a", "SecretBinary": text + "!"}
    yield "a list for base64", {"Name": "leak/a", "SecretId": "leak/a", "SecretBinary": [encoded]}
    both = {"Name": "leak/a", "SecretId": "leak/a", "ClientRequestToken": token}
    yield "both kinds", both | {"SecretString": text, "SecretBinary": encoded}
    yield "too large a string", both | {"SecretString": large}
    yield "too large a binary", both | {"SecretBinary": base64.b64encode(large.encode()).decode()}
    yield "too large a body", both | {"SecretString": large * 9}
    yield "no token", {"Name": "leak/a", "SecretId": "leak/a", "SecretString": text}
    yield "too short a token", both | {"ClientRequestToken": "short", "SecretString": text}
    yield "a bad name", both | {"Name": "bad name", "SecretId": "bad name", "SecretString": text}
    yield "a secret that is not there", both | {"SecretId": "leak/none", "SecretString": text}
    yield "a misspelt member", both | {"SecretSting": text, "secretString": text, "Secret": {"k": text}}
    yield "a key that is not served", both | {"KmsKeyId": "alias/none", "SecretString": text}
    yield "parameters not served", both | {"AddReplicaRegions": [{"Region": "eu-west-1"}], "SecretString": text}
    yield "a rotation token", both | {"RotationToken": text + "-" + text, "SecretString": text}
    yield "labels of a wrong type", both | {"VersionStages": text, "SecretString": text}
    yield "lists of a wrong type", {"SecretId": "leak/a", "SecretIdList": text, "Filters": text, "TagKeys": text, "Tags": text}
    yield "an object in a list", {"SecretIdList": ["leak/a", {"key": text}], "Filters": [{"Key": "name", "Values": [{"key": text}]}]}
    yield "deep", b'{"SecretString":' + b"[" * 5000 + json.dumps(text).encode() + b"]" * 5000 + b"}"


def over_the_wire(hunt, target):
    """Every operation with every body; every answer but those to GetSecretValue must be clean."""
    client = target.client()
    client.create_secret(Name="leak/a", SecretString=hunt.text)
    client.put_secret_value(SecretId="leak/a", SecretString=json.dumps({"key": hunt.text, "pin": int(hunt.number)}))
    client.put_secret_value(SecretId="leak/a", SecretBinary=hunt.text.encode())
    client.put_secret_value(SecretId="leak/a", SecretBinary=b"x" + hunt.text.encode())
    client.put_secret_value(SecretId="leak/a", SecretBinary=b"xx" + hunt.text.encode())
    for operation in [*OPERATIONS, "NoSuchOperation"]:
        for case, body in bodies(hunt):
            try:
                answer = target.call(operation, body)
            except urllib3.exceptions.HTTPError:
                continue  # a body too large may end the connection
            # "a misspelt member" is a good request to read leak/a, which holds the marker.
            if operation != "GetSecretValue" or answer.status != 200:
                hunt.search(f"answer to {operation}, {case}", answer.body + str(dict(answer.headers)).encode())
    for case, body in bodies(hunt):
        for keys in ((target.keys[0], "wrong"), ("AKIAUNKNOWN000000000", "x")):
            signed = signing.signed(target.endpoint, "CreateSecret", body, keys, serving.REGION)
            try:
                hunt.search(f"answer to a stranger, {case}", signing.send(target.endpoint, body, signed).body)
            except urllib3.exceptions.HTTPError:
                continue
    token = new_token()
    client.create_secret(Name="leak/b", SecretString=hunt.text, ClientRequestToken=token)
    attempts = [
        lambda: client.create_secret(Name="leak/b", SecretString=hunt.text + "x", ClientRequestToken=token),
        lambda: client.create_secret(Name="leak/b", SecretString=hunt.text),
        lambda: client.put_secret_value(SecretId="leak/b", SecretString=hunt.text + "x", ClientRequestToken=token),
        lambda: client.update_secret(SecretId="leak/b", SecretString=hunt.text, ClientRequestToken=token),
        lambda: client.update_secret(SecretId="leak/b", SecretString=hunt.text + "x", ClientRequestToken=token),
        lambda: client.tag_resource(SecretId="leak/b", Tags=[{"Key": "k", "Value": "v"}]),
        lambda: client.untag_resource(SecretId="leak/b", TagKeys=["k"]),
        lambda: client.update_secret_version_stage(SecretId="leak/b", VersionStage="A", MoveToVersionId=token),
        lambda: client.describe_secret(SecretId="leak/b"),
        lambda: client.list_secrets(),
        lambda: client.list_secret_version_ids(SecretId="leak/b", IncludeDeprecated=True),
        lambda: client.delete_secret(SecretId="leak/b"),
        lambda: client.put_secret_value(SecretId="leak/b", SecretString=hunt.text),
        lambda: client.create_secret(Name="leak/b", SecretString=hunt.text),
        lambda: client.restore_secret(SecretId="leak/b"),
    ]
    for attempt in attempts:
        try:
            hunt.search("answer to boto3", repr(attempt()).encode())
        except ClientError as refusal:
            hunt.search("refusal to boto3", repr(refusal.response).encode())
    assert client.get_secret_value(SecretId="leak/b")["SecretString"] == hunt.text


class Frames:
    """A connection to the local socket that sends whatever bytes it is given."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(path))

    def send(self, data):
        """A frame, and the answer to it; nothing if the server hangs up."""
        try:
            self.socket.sendall(struct.pack(">I", len(data)) + data)
            (length,) = struct.unpack(">I", self._exactly(4))
            return self._exactly(length)
        except ConnectionError:
            return b""

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            if not (more := self.socket.recv(count - len(data))):
                raise ConnectionError("the server hung up")
            data += more
        return data

    def close(self):
        self.socket.close()


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"},
    }
)


def frames(marker):
    """Requests to the local socket with the marker where a value does not belong."""

    def request(operation, parameters):
        return json.dumps({"operation": operation, "parameters": parameters}).encode()

    value = {"string": "eA=="}
    raw = marker.encode()
    yield "only the value", json.dumps(marker).encode()
    yield "not JSON", raw
    yield "broken off", b'{"operation":"GetSecretValue","parameters":{"secret_id":"' + raw
    yield "no escape", b'{"operation":"GetSecretValue","parameters":{"secret_id":"' + raw + b'\\q"}}'
    yield "a list", json.dumps([marker]).encode()
    yield "an operation", request(marker, {})
    yield "a member of the request", json.dumps({"operation": "Status", "parameters": {}, marker: marker}).encode()
    yield "the parameters", request("Status", marker)
    yield "a parameter's name", request("GetSecretValue", {marker: "x"})
    yield "a parameter too many", request("GetSecretValue", {"secret_id": "leak/a", marker: marker})
    for operation, more in (
        ("GetSecretValue", {}),
        ("DescribeSecret", {}),
        ("PutSecretValue", {"value": value}),
        ("ListSecretVersionIds", {"include_deprecated": False}),
        ("UpdateSecretVersionStage", {"stage": "A"}),
        ("DeleteSecret", {"mode": {"days": 7}}),
        ("RestoreSecret", {}),
        ("TagResource", {"tags": []}),
        ("UntagResource", {"tag_keys": []}),
        ("UpdateSecret", {"value": value}),
    ):
        yield f"a secret's id, {operation}", request(operation, {"secret_id": marker, **more})
    yield "a secret's name", request("CreateSecret", {"name": marker, "value": value})
    yield "a version id", request("GetSecretValue", {"secret_id": "leak/a", "version_id": marker})
    yield "a token", request("PutSecretValue", {"secret_id": "leak/a", "value": value, "token": marker})
    yield "a label", request("GetSecretValue", {"secret_id": "leak/a", "stage": marker * 20})
    labels = {"secret_id": "leak/a", "value": value, "stages": marker}
    yield "labels that are no list", request("PutSecretValue", labels)
    yield "a value without its kind", request("PutSecretValue", {"secret_id": "leak/a", "value": marker})
    yield "a value's kind", request("PutSecretValue", {"secret_id": "leak/a", "value": {marker: "x"}})
    yield "base64 that is none", request("PutSecretValue", {"secret_id": "leak/a", "value": {"binary": marker}})
    yield "tags", request("CreateSecret", {"name": "leak/f", "value": value, "tags": marker})
    yield "tags to attach", request("TagResource", {"secret_id": "leak/a", "tags": [marker]})
    yield "a filter", request("ListSecrets", {"filters": [marker]})
    yield "a filter's key", request("ListSecrets", {"filters": [{"key": marker, "values": ["x"]}]})
    yield "a filter's value", request("ListSecrets", {"filters": [{"key": "all", "values": [marker + "#"]}]})
    yield "a tag's key", request("UntagResource", {"secret_id": "leak/a", "tag_keys": [marker * 20]})
    yield "a page token", request("ListSecrets", {"include_planned_deletion": False, "next_token": marker})
    yield "a count", request("TailAudit", {"count": marker})
    yield "a deletion's mode", request("DeleteSecret", {"secret_id": "leak/a", "mode": marker})
    for member in ("secret_id", "who", "operation", "request_id", "since"):
        yield f"records' {member}", request("SearchAudit", {"count": 1, "filter": {member: marker}})
        yield f"reads' {member}", request("ListReads", {"filter": {member: marker}})

    def access(name, parameters):
        return request("Access", {name: parameters})

    for kind in ("user", "group", "role"):
        holder = {"kind": kind, "name": marker}
        for name, more in (
            ("Create", {"trust": marker}),
            ("Get", {}),
            ("Delete", {}),
            ("PutPolicy", {"name": "a", "document": TRUST}),
            ("GetInlinePolicy", {"name": "a"}),
            ("DeleteInlinePolicy", {"name": "a"}),
            ("ListPoliciesOf", {}),
            ("AttachPolicy", {"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
            ("DetachPolicy", {"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ):
            yield f"a {kind}'s name, {name}", access(name, {"holder": holder, **more})
        holder = {"kind": kind, "name": "leak"}
        yield f"a {kind}'s document", access("PutPolicy", {"holder": holder, "name": "a", "document": marker})
        yield f"a {kind}'s policy", access("GetInlinePolicy", {"holder": holder, "name": marker})
        yield f"a {kind}'s managed policy", access("AttachPolicy", {"holder": holder, "arn": marker})
    for name in ("CreateAccessKey", "ListAccessKeys", "ListGroupsForUser"):
        yield f"a user, {name}", access(name, {"user": marker})
    for name, more in (("UpdateAccessKey", {"is_active": True}), ("DeleteAccessKey", {})):
        yield f"a key's user, {name}", access(name, {"user": marker, "id": "AKIALEAK", **more})
        yield f"a key's id, {name}", access(name, {"user": "leak", "id": marker, **more})
    yield "a key's id", access("FindAccessKey", {"id": marker})
    for name in ("AddUserToGroup", "RemoveUserFromGroup"):
        yield f"a group, {name}", access(name, {"group": marker, "user": "leak"})
        yield f"a member, {name}", access(name, {"group": "leak", "user": marker})
    yield "a group", access("ListUsersOfGroup", {"group": marker})
    yield "a trusting role", access("UpdateTrust", {"role": marker, "trust": TRUST})
    yield "a trust policy", access("UpdateTrust", {"role": "leak", "trust": marker})
    yield "a new role's trust", access("Create", {"holder": {"kind": "role", "name": "leak"}, "trust": marker})
    for name in ("GetProvider", "DeleteProvider"):
        yield f"an issuer, {name}", access(name, {"issuer": marker})
    yield "a managed policy's name", access("CreatePolicy", {"name": marker, "document": TRUST})
    yield "a managed policy", access("CreatePolicy", {"name": "leak", "document": marker})
    for name in ("GetPolicy", "ListPolicyVersions", "DeletePolicy"):
        yield f"an ARN, {name}", access(name, {"arn": marker})
    yield "an ARN, CreatePolicyVersion", access("CreatePolicyVersion", {"arn": marker, "document": TRUST})
    yield "an ARN, DeletePolicyVersion", access("DeletePolicyVersion", {"arn": marker, "number": 1})
    yield "who can do it to what", access("WhoCan", {"secret_id": marker, "action": "secretsmanager:GetSecretValue"})
    yield "who can do what", access("WhoCan", {"secret_id": "leak/a", "action": marker})
    yield "which denial", access("ExplainDenial", {"request_id": marker})
    yield "a page of users", access("List", {"kind": "user", "marker": marker})
    yield "a page of policies", access("ListPolicies", {"with_aws": False, "marker": marker})


def in_wrong_frames(hunt, store, target):
    """Both doors, with the marker where something else belongs. Each is refused."""
    for case, frame in frames(hunt.misplaced):
        connection = Frames(store.home / "coffer.sock")
        greeting = connection.send(b'{"protocol":1,"coffer":"leak"}')
        assert b'"protocol"' in greeting, greeting
        answer = connection.send(frame)
        # Members it does not know may be ignored; all else is refused.
        assert b'"failure"' in answer or case in ("a member of the request", "a parameter too many"), (case, answer)
        connection.close()
    greeted = Frames(store.home / "coffer.sock")
    greeted.send(json.dumps({"protocol": hunt.misplaced}).encode())
    greeted.close()
    for operation in OPERATIONS:
        for body in (hunt.misplaced, {"SecretId": hunt.misplaced}, {"SecretId": "leak/a", hunt.misplaced: "x"}):
            target.call(operation, body)


def in_tokens(hunt, target):
    """Tokens of an identity provider: believed, forged, and none at all. A token is a secret as a whole; of one that is not believed not
    even its claims are kept. One that is has the marker in a claim that nobody asks for, and in its signature's place for a forged one."""
    issuer = Issuer(rsa.newkeys(2048))
    administrator = lambda service: client(target, service)
    iam, sts = administrator("iam"), administrator("sts")
    provider = iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=["sts.amazonaws.com"])
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider["OpenIDConnectProviderArn"]},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{issuer.name}:sub": "app"}},
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = iam.create_role(RoleName="leak", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    good = issuer.token(secret=hunt.text, number=int(hunt.number))
    header, claims, _ = good.split(".")
    forged = base64.urlsafe_b64encode(hunt.text.encode()).rstrip(b"=").decode()
    tokens = [
        ("believed", good, True),
        ("not trusted", issuer.token(sub="other", secret=hunt.text), False),
        ("forged", f"{header}.{claims}.{forged}", False),
        ("of nobody", issuer.token(iss=f"https://{hunt.misplaced.split()[1].lower()}.example", secret=hunt.text), False),
        ("for others", issuer.token(aud=hunt.misplaced, secret=hunt.text), False),
        ("over", issuer.token(exp=1, sub=hunt.misplaced, secret=hunt.text), False),
        ("of an unknown key", issuer.token(header={"kid": hunt.misplaced}, secret=hunt.text), False),
        ("no token", hunt.text, False),
        ("no token, misplaced", hunt.misplaced, False),
        ("too long", hunt.text * 1000, False),
    ]
    for case, token, is_believed in tokens:
        attempt = {"RoleArn": role, "RoleSessionName": "leak", "WebIdentityToken": token}
        try:
            answer = sts.assume_role_with_web_identity(**attempt)
            assert is_believed, case
            hunt.search(f"answer to a token, {case}", repr(answer).encode())
        except ClientError as refusal:
            assert not is_believed, (case, refusal)
            hunt.search(f"refusal of a token, {case}", repr(refusal.response).encode())
    issuer.close()
    for kept in (good.split(".")[2], claims):
        hunt.kept_needles.append(("a token", kept.encode()))


def in_wrong_arguments(hunt, store):
    """The command line, likewise; in place or over the socket, as it comes."""
    for arguments in (
        ("get", hunt.misplaced),
        ("get", f"{hunt.misplaced}#KEY"),
        ("versions", hunt.misplaced),
        ("put", hunt.misplaced),
        ("get", "leak/a", "--version-id", hunt.misplaced),
        ("get", "leak/a", "--stage", hunt.misplaced * 20),
    ):
        done = store.run(*arguments, check=False, input=b"x")
        assert done.returncode != 0, arguments


ENV_FILES = {
    "good": 'KEY={text}\nOTHER="{text}"\nPIN={number}\n',
    "an open quote": 'GOOD=1\nKEY="{text}\n',
    "no equals sign": "GOOD=1\n{text}\n",
    "a bad key": "GOOD=1\n{text} x={text}\n",
    "text after a quote": "KEY='{text}'{text}\n",
    "a key of yaml": "KEY: {text}\n",
    "not UTF-8": None,
}


def by_command(hunt, store):
    """Every command that takes or shows a value, right and wrong; in place or over the socket, as it comes."""

    def run(*arguments, may_show=False, **how):
        done = store.run(*arguments, check=False, **how)
        hunt.search(f"stderr of `coffer {' '.join(arguments)}`", done.stderr)
        if not may_show:
            hunt.search(f"stdout of `coffer {' '.join(arguments)}`", done.stdout)
        return done

    for case, pattern in ENV_FILES.items():
        # Outside the folders that are searched: this file is the user's own.
        file = store.folder / "app" / f"{case.replace(' ', '-')}.env"
        file.parent.mkdir(exist_ok=True)
        if pattern is None:
            file.write_bytes(b"KEY=" + hunt.text.encode() + b"\xff\n")
        else:
            file.write_text(pattern.format(text=hunt.text, number=hunt.number))
        for more in ([], ["--split"], ["--json"]):
            done = run("import", str(file), "--name", f"leak/file{'-split' if '--split' in more else ''}", *more)
            assert (done.returncode == 0) == (case == "good"), (case, more, done.returncode, done.stderr)
    assert hunt.text.encode() in run("get", "leak/file#KEY", may_show=True).stdout, "the marker never went in"
    for more in ([], ["--json"]):
        run("get", "leak/file", *more, may_show=True)
        run("get", "leak/file#NONE", *more)
        run("get", "leak/none", *more)
        run("get", "leak/file#KEY#KEY", *more)
        run("put", "leak/stdin", *more, input=hunt.text.encode())
        run("get", "leak/stdin#KEY", *more)
        run("put", "leak/stdin", *more, input=(hunt.text * 4000).encode())
        run("put", "bad name", *more, input=hunt.text.encode())
        run("put", "leak/stdin", *more, input=b"\xff" + hunt.text.encode())
        run("put", "leak/env", "--from-env", "LEAK_VALUE", *more, LEAK_VALUE=hunt.text)
        run("put", "leak/env", "--from-env", "LEAK_ABSENT", *more)
        run("list", *more)
        run("versions", "leak/stdin", *more)
        run("versions", "leak/none", *more)
        run("audit", "tail", "-n", "1000", *more)
        run("audit", "verify", *more)
        run("status", *more)


def main():
    hunt, store, arguments = Hunt(), serving.Store(), Arguments()
    serving.binary_path()
    arguments.start()
    try:
        store.init()
        by_command(hunt, store)
        in_wrong_arguments(hunt, store)
        server = store.start()
        over_the_wire(hunt, Target("store", server.endpoint, store.keys, store))
        by_command(hunt, store)
        in_wrong_arguments(hunt, store)
        in_tokens(hunt, Target("store", server.endpoint, store.keys, store))
        in_wrong_frames(hunt, store, Target("store", server.endpoint, store.keys, store))
        hunt.search_kept("what the server said", server.log.read_bytes())
        hunt.search_folder(store.home)
        assert server.stop() == 0, server.said()
        hunt.search_kept("what the server said", server.log.read_bytes())
        hunt.search_folder(store.home)
        hunt.search_folder(store.data)
        arguments.ends.set()
        arguments.join()
        for command in arguments.seen:
            hunt.search("arguments of a process", command)
        assert any(b"coffer" in command for command in arguments.seen), "no process was seen at all"
        prove_the_search(hunt)
    finally:
        if store.server and store.server.process.poll() is None:
            store.server.kill()
        store.remove()
    print(f"{len(hunt.needles)} forms of the marker, searched for in {hunt.places} places, {hunt.bytes / 1e6:.1f} MB")
    for place in sorted(set(hunt.found))[:40]:
        print(f"LEAK in {place}", file=sys.stderr)
    print(f"{len(hunt.found)} leaks" if hunt.found else "no leak")
    return 1 if hunt.found else 0


def prove_the_search(hunt):
    """A search that finds nothing proves nothing unless it would have found something."""
    for shift in range(3):
        probe = Hunt.__new__(Hunt)
        probe.needles, probe.found, probe.bytes, probe.places = hunt.needles, [], 0, 0
        probe.search("a probe", base64.b64encode(b"x" * shift + hunt.text.encode() + b"tail"))
        assert probe.found, f"base64 shifted by {shift} is not found"


if __name__ == "__main__":
    sys.exit(main())
