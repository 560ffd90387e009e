#!/usr/bin/env python3
"""Kills a serving coffer with SIGKILL under concurrent writes, again and again, and looks for what was lost.

Each round: eight writers create secrets, put versions, update, tag, move labels, delete, restore, and remove for good; at a
moment drawn at random the server is killed, and sometimes killed again while it starts. Then it must be true that

- every acknowledged write is readable, with exactly its value and under its version id;
- no version that can be seen is torn: its value is the one that belongs to its id, whole;
- labels, description and tag of each secret are those after its last acknowledged write, or after the one write that was
  under way;
- the audit log verifies, and holds one record of every change that happened, acknowledged or only found to be done,
  and none of a change that did not;
- at the end the versions of each secret that was removed for good are swept away, which is recorded once, however
  often the sweep was killed.

A store is also killed while `coffer init` makes it: afterwards there is a whole one or none.

I/O: processes, a folder under the temporary directory, 127.0.0.1. The seed is printed; COFFER_CRASH_SEED replays
the choices (not the kernel's scheduling). SIGKILL leaves the page cache alone, so this shows nothing about a
power cut: for that, see the file layer of the Rust tests, which drops what was not synced.
"""

import collections
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import typing
import uuid

import serving
import signing
import trials
from trials import Failed

ROUNDS = int(os.environ.get("COFFER_CRASH_ROUNDS", "200"))
INIT_ROUNDS = max(5, ROUNDS // 8)
SEED = int(os.environ.get("COFFER_CRASH_SEED", random.SystemRandom().randrange(2**32)))
WRITERS = 8
LIFE_SECONDS = (0.02, 0.6)
DRAIN_SECONDS_MAX = 10
SWEEP_SECONDS_MAX = 120
# How many versions a secret has when it is removed for good: fewer and more than a sweep takes at a time (40).
REMOVED_WITH_VERSIONS = (2, 5, 15, 60)
READERS = 4
SHARED = "crash/shared"
CHANGES = {
    "CreateSecret",
    "DeleteSecret",
    "PutSecretValue",
    "RestoreSecret",
    "TagResource",
    "UpdateSecret",
    "UpdateSecretVersionStage",
}
TAG = "note"
SWEPT = "EndSecretVersionDelete"


def value_of(token):
    """The one value that belongs to a version id: any other, or a part of it, is seen to be torn."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return digest * (1 + int(digest[:2], 16) // 4)


class State(typing.NamedTuple):
    """What can be seen of a secret besides its values."""

    exists: bool = False
    deleted: bool = False
    current: str | None = None
    previous: str | None = None
    description: str | None = None
    tag: str | None = None


NOTHING = State()


class Secret:
    """What its writer knows of a secret: acknowledged state, and what the write under way would make of it."""

    def __init__(self, name):
        self.name = name
        self.state = NOTHING
        self.versions = set()

    def become(self, state, token):
        """Takes on a state. A secret that is no more has no versions, and its name is free for another."""
        self.state = state
        if token:
            self.versions.add(token)
        if not state.exists:
            self.versions = set()


class Writer(threading.Thread):
    """Writes to secrets of its own, and puts to one that all share, until the server is gone."""

    def __init__(self, number, port, choices, secrets):
        super().__init__(daemon=True)
        self.number, self.port, self.random, self.secrets = number, port, choices, secrets
        self.signer = signing.Signer(f"127.0.0.1:{port}", serving.STORE_KEYS, serving.REGION)
        self.acknowledged = []  # (operation, request id)
        self.shared = set()  # tokens put to the shared secret and acknowledged
        self.pending = None  # (operation, secret or None, token or None, state after)
        self.removes_at = self.random.choice(REMOVED_WITH_VERSIONS)  # versions; None once it has, for this round
        self.failure = None

    def run(self):
        try:
            connection = signing.Connection(self.port)
        except OSError:
            return
        try:
            while True:
                self.step(connection)
        except OSError:
            return
        except Exception as failure:  # noqa: BLE001 - handed to the main thread
            self.failure = failure
        finally:
            connection.close()

    def step(self, connection):
        operation, body, secret, token, after = self.choose()
        self.pending = (operation, secret, token, after)
        status, headers, answer = connection.call(self.signer.request(operation, body))
        if status != 200:
            raise Failed(f"{operation} was refused with {status}: {answer[:300]!r}")
        self.acknowledged.append((operation, headers["x-amzn-requestid"]))
        if secret is None:
            self.shared.add(token)
        else:
            secret.become(after, token)
        self.pending = None

    def choose(self):
        draw, token = self.random.random(), self.random_token()
        if draw < 0.2:
            body = {"SecretId": SHARED, "SecretString": value_of(token), "ClientRequestToken": token}
            return "PutSecretValue", body, None, token, None
        if draw < 0.4 or not self.secrets:
            secret = Secret(f"crash/{self.number}/{token}")
            self.secrets.append(secret)
            body = {"Name": secret.name, "SecretString": value_of(token), "ClientRequestToken": token}
            return "CreateSecret", body, secret, token, State(exists=True, current=token)
        secret = self.random.choice(self.secrets[-20:])
        largest = max(self.secrets[-20:], key=lambda secret: len(secret.versions))
        if self.removes_at and len(largest.versions) >= self.removes_at:
            self.removes_at = None
            body = {"SecretId": largest.name, "ForceDeleteWithoutRecovery": True}
            return "DeleteSecret", body, largest, None, NOTHING
        if draw < 0.55 and largest.state.exists:
            secret = largest  # so that some have many versions
        state = secret.state
        if not state.exists:
            body = {"Name": secret.name, "SecretString": value_of(token), "ClientRequestToken": token}
            return "CreateSecret", body, secret, token, State(exists=True, current=token)
        if state.deleted:
            return "RestoreSecret", {"SecretId": secret.name}, secret, None, state._replace(deleted=False)
        if 0.55 < draw < 0.62:
            body = {"SecretId": secret.name, "RecoveryWindowInDays": 7}
            return "DeleteSecret", body, secret, None, state._replace(deleted=True)
        if 0.62 < draw < 0.72 and state.previous:
            body = {
                "SecretId": secret.name,
                "VersionStage": "AWSCURRENT",
                "MoveToVersionId": state.previous,
                "RemoveFromVersionId": state.current,
            }
            after = state._replace(current=state.previous, previous=state.current)
            return "UpdateSecretVersionStage", body, secret, None, after
        if 0.72 < draw < 0.78:
            body = {"SecretId": secret.name, "Tags": [{"Key": TAG, "Value": token}]}
            return "TagResource", body, secret, None, state._replace(tag=token)
        body = {"SecretId": secret.name, "SecretString": value_of(token), "ClientRequestToken": token}
        after = state._replace(current=token, previous=state.current)
        if draw < 0.88:
            body["Description"] = token
            return "UpdateSecret", body, secret, token, after._replace(description=token)
        return "PutSecretValue", body, secret, token, after

    def random_token(self):
        return str(uuid.UUID(int=self.random.getrandbits(128)))


class Reader:
    """Asks a server that stands still."""

    def __init__(self, port):
        self.connection = signing.Connection(port)
        self.signer = signing.Signer(f"127.0.0.1:{port}", serving.STORE_KEYS, serving.REGION)

    def ask(self, operation, body):
        status, _, answer = self.connection.call(self.signer.request(operation, body))
        return status, json.loads(answer)

    def value(self, name, version):
        """The value of a version, checked to be whole; None if there is no such version."""
        status, answer = self.ask("GetSecretValue", {"SecretId": name, "VersionId": version})
        if status == 200:
            if answer["SecretString"] != value_of(version):
                raise Failed(f"version {version} of {name} is torn: {len(answer['SecretString'])} characters")
            return answer["SecretString"]
        if answer["__type"] == "ResourceNotFoundException":
            return None
        raise Failed(f"version {version} of {name} cannot be read: {answer}")

    def state(self, name):
        """What the store says of a secret."""
        status, answer = self.ask("DescribeSecret", {"SecretId": name})
        if status != 200:
            if answer["__type"] != "ResourceNotFoundException":
                raise Failed(f"{name} cannot be described: {answer}")
            return NOTHING
        labels = {stage: version for version, stages in answer["VersionIdsToStages"].items() for stage in stages}
        tags = {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}
        return State(
            exists=True,
            deleted="DeletedDate" in answer,
            current=labels.get("AWSCURRENT"),
            previous=labels.get("AWSPREVIOUS"),
            description=answer.get("Description"),
            tag=tags.get(TAG),
        )


class AuditLog:
    """Reads what was appended to the log's files since it was last asked."""

    def __init__(self, folder):
        self.folder = folder
        self.offsets = collections.defaultdict(int)
        self.requests = {}  # request id → event name, of changes without an error
        self.unmatched = {}  # request id → (event name, secret name, version id), of those not yet accounted for
        self.removed = set()  # ARNs of secrets removed for good
        self.swept = set()  # ARNs of those whose versions are gone

    def read_on(self):
        for path in sorted(self.folder.rglob("*")):
            if not path.is_file():
                continue
            with path.open("rb") as file:
                file.seek(self.offsets[path])
                data = file.read()
            # Up to the first zero: what comes after may be a write that was seen from its middle on.
            data = data.partition(b"\0")[0]
            whole = data[: data.rfind(b"\n") + 1]
            for line in whole.split(b"\n"):
                if line.startswith(b"{") and b'"eventID"' in line:
                    self.take(json.loads(line))
            self.offsets[path] += len(whole)

    def take(self, record):
        if record.get("errorCode"):
            return
        name, request = record["eventName"], record.get("requestID")
        if name == SWEPT:
            arn = record["additionalEventData"]["SecretId"]
            if arn in self.swept:
                raise Failed(f"the end of {arn} is recorded twice")
            self.swept.add(arn)
        if name not in CHANGES:
            return
        if request in self.requests:
            raise Failed(f"request {request} is recorded twice")
        asked, answer = record["requestParameters"], record["responseElements"] or {}
        self.requests[request] = name
        self.unmatched[request] = (name, answer.get("name", asked.get("secretId")), answer.get("versionId"))
        if name == "DeleteSecret" and asked.get("forceDeleteWithoutRecovery"):
            self.removed.add(answer["arn"])


class Trial:
    """One store, its life of many deaths, and all that was ever acknowledged."""

    def __init__(self):
        self.random = random.Random(SEED)
        self.store = serving.Store()
        self.store.init()
        self.log = AuditLog(self.store.home / "audit")
        self.secrets = [[] for _ in range(WRITERS)]
        self.shared = set()
        self.acknowledged = 0
        self.in_flight = collections.Counter()
        self.checked_versions = set()
        self.landed = []  # changes without an answer that happened all the same, in the form of AuditLog.unmatched

    def run(self):
        server = self.store.start()
        reader = Reader(server.port)
        token = str(uuid.UUID(int=self.random.getrandbits(128)))
        reader.ask("CreateSecret", {"Name": SHARED, "SecretString": value_of(token), "ClientRequestToken": token})
        self.shared.add(token)
        self.landed.append(("CreateSecret", SHARED, token))
        started = time.monotonic()
        for number in range(1, ROUNDS + 1):
            server = self.round(number, server)
            if number % 20 == 0 or number == ROUNDS:
                elapsed = time.monotonic() - started
                print(
                    f"  round {number}: {self.acknowledged} writes acknowledged, "
                    f"{dict(self.in_flight)} of those under way, {elapsed:.0f} s",
                    flush=True,
                )
        self.check_everything(server)
        self.check_swept()
        if server.stop() != 0:
            raise Failed(f"the last stop was not clean:\n{server.said()[-2000:]}")
        self.verify_log()
        self.store.remove()
        return "nothing lost, nothing torn, every change recorded"

    def round(self, number, server):
        writers = [
            Writer(n, server.port, random.Random(self.random.getrandbits(64)), self.secrets[n]) for n in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(self.random.uniform(*LIFE_SECONDS))
        server.kill()
        for writer in writers:
            writer.join(30)
            if writer.is_alive():
                raise Failed("a writer hangs although its server is gone")
            if writer.failure:
                raise writer.failure
        if number % 7 == 0:
            self.die_while_starting()
        if number % 2:
            self.verify_log()  # in place, before the next server: then it is the command that recovers
        server = self.store.start()
        self.check(server, writers)
        if number % 2 == 0:
            self.verify_log()  # over the socket
        return server

    def die_while_starting(self):
        process = subprocess.Popen(
            [serving.binary_path(), "serve", "--listen", f"127.0.0.1:{serving.free_port()}"],
            env=self.store.environment(),
            cwd=self.store.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(self.random.uniform(0, 0.12))
        process.kill()
        process.wait()

    def verify_log(self):
        done = self.store.run("audit", "verify", check=False)
        if done.returncode != 0:
            raise Failed(f"`coffer audit verify` exited {done.returncode}: {done.stderr.decode()}")

    def check(self, server, writers):
        reader = Reader(server.port)
        for writer in writers:
            self.acknowledged += len(writer.acknowledged)
            self.shared |= writer.shared
            self.settle(reader, writer)
            for secret in writer.secrets[-20:]:
                self.expect(reader, secret)
            for token in writer.shared:
                self.readable(reader, SHARED, token)
        for n, writer in enumerate(writers):
            self.secrets[n] = [secret for secret in writer.secrets if secret.state.exists]
        self.check_log([entry for writer in writers for entry in writer.acknowledged])
        reader.connection.close()

    def settle(self, reader, writer):
        """The write that was under way happened wholly or not at all; whichever, the model goes on from there."""
        if writer.pending is None:
            self.in_flight["none sent"] += 1
            return
        operation, secret, token, after = writer.pending
        name = secret.name if secret else SHARED
        there = token is not None and reader.value(name, token) is not None
        if secret is None:
            if there:
                self.shared.add(token)
        else:
            state = reader.state(secret.name)
            if token is not None and there != (state == after):
                raise Failed(f"{secret.name}: version {token} is {'' if there else 'not '}there, the secret is {state}")
            if state == after and state != secret.state:
                secret.become(after, token)
                there = True
            elif not after.exists:
                self.checked_versions -= secret.versions  # it was not removed, so all of it is still there
        if there:
            self.landed.append((operation, name, token))
        self.in_flight["done" if there else "not done"] += 1

    def expect(self, reader, secret):
        state = reader.state(secret.name)
        if state != secret.state:
            raise Failed(f"{secret.name} is {state} and should be {secret.state}")
        if not state.deleted:
            for token in secret.versions - self.checked_versions:
                self.readable(reader, secret.name, token)
            self.checked_versions |= secret.versions

    def readable(self, reader, name, token):
        if reader.value(name, token) is None:
            raise Failed(f"acknowledged version {token} of {name} is gone")

    def check_log(self, acknowledged):
        """Records and changes are the same, one for one: those that were acknowledged, by their request ids, and
        those whose answer the kill took away, by what they did.

        Records reach the log a little later than their changes: the drainer may still be at it.
        """
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while True:
            self.log.read_on()
            missing = [request for _, request in acknowledged if request not in self.log.requests]
            if not missing and len(self.log.unmatched) >= len(acknowledged) + len(self.landed):
                break
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        if missing:
            raise Failed(f"{len(missing)} acknowledged changes have no record, such as {missing[0]}")
        for operation, request in acknowledged:
            recorded, _, _ = self.log.unmatched.pop(request)
            if recorded != operation:
                raise Failed(f"request {request} was {operation} and is recorded as {recorded}")
        for request, (operation, name, version) in list(self.log.unmatched.items()):
            done = (operation, name, version)
            if done not in self.landed:
                raise Failed(f"the log records {operation} of {name} ({version}, {request}), which did not happen")
            self.landed.remove(done)
            del self.log.unmatched[request]
        if self.landed:
            raise Failed(f"{len(self.landed)} changes were done and have no record, such as {self.landed[0]}")

    def check_swept(self):
        """What was removed for good is swept away, a little at a time, and the end of each is recorded."""
        started = time.monotonic()
        while (missing := self.log.removed - self.log.swept) and time.monotonic() - started < SWEEP_SECONDS_MAX:
            time.sleep(0.1)
            self.log.read_on()
        if missing:
            raise Failed(f"{len(missing)} secrets were removed and never swept away, such as {missing.pop()}")
        if more := self.log.swept - self.log.removed:
            raise Failed(f"the log records the end of {more.pop()}, which nobody removed")
        there = 1 + sum(secret.state.exists for secrets in self.secrets for secret in secrets)
        told = json.loads(self.store.run("status", "--json").stdout)["secrets"]
        if told != there:
            raise Failed(f"`coffer status` counts {told} secrets and there are {there}")
        elapsed = time.monotonic() - started
        print(f"  {len(self.log.removed)} secrets removed for good and swept away, the last {elapsed:.0f} s after all")

    def check_everything(self, server):
        """At the end all that was ever acknowledged is read once more, by a few readers at once."""
        work = [(SHARED, token) for token in self.shared]
        for secrets in self.secrets:
            work += [(secret.name, token) for secret in secrets if not secret.state.deleted for token in secret.versions]
        self.random.shuffle(work)
        work = work[:40_000]
        failures = []

        def read(part):
            reader = Reader(server.port)
            try:
                for name, token in part:
                    self.readable(reader, name, token)
            except Exception as failure:  # noqa: BLE001 - handed to the main thread
                failures.append(failure)

        readers = [threading.Thread(target=read, args=(work[n::READERS],)) for n in range(READERS)]
        for thread in readers:
            thread.start()
        for thread in readers:
            thread.join()
        if failures:
            raise failures[0]
        recorded = len(self.log.requests)
        print(f"  at the end: {len(work)} versions read again, {recorded} changes recorded")


def kill_init(choices):
    """SIGKILL during `coffer init`: afterwards there is a whole store, or none and init makes one."""
    outcomes = collections.Counter()
    store, started = serving.Store(), time.monotonic()
    store.init()
    longest = 1.5 * (time.monotonic() - started)
    store.remove()
    for _ in range(INIT_ROUNDS):
        store = serving.Store()
        process = subprocess.Popen(
            [serving.binary_path(), "init"],
            env=store.environment(),
            cwd=store.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(choices.uniform(0, longest))
        process.kill()
        process.wait()
        if store.home.exists():
            outcomes["whole"] += 1
        else:
            outcomes["none"] += 1
            store.init()
        for command in (["status"], ["audit", "verify"], ["list"]):
            done = store.run(*command, check=False)
            if done.returncode != 0:
                raise Failed(f"after a killed init `coffer {' '.join(command)}` exits {done.returncode}: {done.stderr}")
        store.remove()
    print(f"  init killed {INIT_ROUNDS} times: {dict(outcomes)}")


def begin():
    kill_init(random.Random(SEED))
    return Trial()


def main():
    print(f"{ROUNDS} rounds of SIGKILL under {WRITERS} writers, seed {SEED}", flush=True)
    return trials.run(begin, "COFFER_CRASH_SEED", SEED)


if __name__ == "__main__":
    sys.exit(main())
