#!/usr/bin/env python3
"""Everything at once for minutes: mixed load on a store on disk, killed with SIGKILL and started again.

Sixteen clients read, put, create, update, tag, move labels, delete, restore, read in batches and list, each secrets of
its own, of which it knows what must be true: any answer that says otherwise fails. Until 60 % of the time is over the
server is killed at moments drawn at random and started again; then it runs on undisturbed, with a cache so small that
it is soon full, which is when its memory and its file descriptors must stay as they are (whether memory grows slowly is
judged only if that lasts long enough to tell); then it is killed once more. After each start, and at the end, it must
hold that

- every secret is as its last acknowledged change left it, or as the one change that was under way would have: labels,
  tags, description, deletion, and the value of every version that still exists;
- each request that was answered is in the audit log, once (one record for each secret of a batch), by its request id,
  and no more of those that were not answered than were under way;
- `coffer audit verify` finds the log whole.

`--minutes N` (10), `--clients N` (16), `--pace N` requests a second of each client (40). The seed is printed and
COFFER_SOAK_SEED replays the choices, not the kernel's scheduling. I/O: processes, a folder under the temporary
directory, 127.0.0.1.
"""

import argparse
import array
import collections
import copy
import hashlib
import json
import os
import random
import sys
import threading
import time
import uuid

import serving
import signing
import trials
from trials import Failed

SEED = int(os.environ.get("COFFER_SOAK_SEED", random.SystemRandom().randrange(2**32)))
SECRETS_PER_CLIENT = 12
VERSIONS_MAX = 25  # then the secret is removed for good
LIFE_SECONDS = (0.5, 12)
KILLING_SHARE = 0.6
WARM_UP_SHARE = 0.4  # of the life that nothing disturbs
DRAIN_SECONDS_MAX = 20
CACHE_SIZE = "4MiB"  # small, so that it is full after the warm-up and what grows then is no cache
RESIDENT_GROWTH_KIB_MAX = 4 * 1024  # from the first third after the warm-up to the last
RESIDENT_SLOPE_KIB_PER_MINUTE_MAX = 2 * 1024  # where that life is long enough to have a slope
SLOPE_SECONDS_MIN = 90
DESCRIPTORS_GROWTH_MAX = 4
BATCH = 5
MARK = "mark"

# How often each is drawn; what a secret's state does not allow becomes a read.
WEIGHTS = {
    "GetSecretValue": 40,
    "PutSecretValue": 12,
    "UpdateSecret": 6,
    "UpdateSecretVersionStage": 6,
    "CreateSecret": 6,
    "TagResource": 4,
    "UntagResource": 3,
    "DeleteSecret": 4,
    "RestoreSecret": 4,
    "BatchGetSecretValue": 5,
    "DescribeSecret": 4,
    "ListSecrets": 2,
    "ListSecretVersionIds": 2,
    "GetRandomPassword": 2,
}


def require(holds, sentence):
    if not holds:
        raise Failed(sentence)


def value_of(version):
    """The one value that belongs to a version id: any other, or a part of it, is seen to be torn."""
    digest = hashlib.sha256(version.encode()).hexdigest()
    return digest * (1 + int(digest[:2], 16) // 8)


class Secret:
    """What must be true of a secret; a change is tried on a copy, which becomes the truth once it is acknowledged."""

    def __init__(self, name):
        self.name = name
        self.exists = False
        self.clear()

    def clear(self):
        self.deleted = False
        self.labels = {}  # label → version id
        self.versions = []
        self.description = None
        self.tags = None  # None until there ever was one: then it is told, if only as empty

    def copy(self):
        twin = copy.copy(self)
        twin.labels, twin.versions = dict(self.labels), list(self.versions)
        twin.tags = None if self.tags is None else dict(self.tags)
        return twin

    def add_version(self, version, stages):
        self.versions.append(version)
        for stage in stages:
            self.move(stage, version)

    def move(self, stage, version):
        left = self.labels.get(stage)
        if stage == "AWSCURRENT" and left:
            self.labels["AWSPREVIOUS"] = left
            if self.labels["AWSPREVIOUS"] == version:
                del self.labels["AWSPREVIOUS"]
        self.labels[stage] = version

    def told(self):
        """What DescribeSecret tells of it, brought into one order."""
        if not self.exists:
            return None
        stages = collections.defaultdict(list)
        for stage, version in self.labels.items():
            stages[version].append(stage)
        return {
            "deleted": self.deleted,
            "description": self.description,
            "tags": self.tags,
            "stages": {version: sorted(of) for version, of in stages.items()},
        }


def told_by(status, answer):
    """The same from an answer of DescribeSecret."""
    if status != 200:
        require(answer["__type"] == "ResourceNotFoundException", f"a secret cannot be described: {answer}")
        return None
    return {
        "deleted": "DeletedDate" in answer,
        "description": answer.get("Description"),
        "tags": {tag["Key"]: tag["Value"] for tag in answer["Tags"]} if "Tags" in answer else None,
        "stages": {version: sorted(of) for version, of in answer.get("VersionIdsToStages", {}).items()},
    }


class Figures:
    """What all clients count, each under the lock for a moment."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.millis = array.array("f")
        self.answered = []  # (request id, records expected by event name)

    def note(self, operation, millis, request, expected):
        with self.lock:
            self.counts[operation] += 1
            self.millis.append(millis)
            self.answered.append((request, expected))

    def take_answered(self):
        with self.lock:
            taken, self.answered = self.answered, []
        return taken

    def answered_since(self):
        with self.lock:
            return {request for request, _ in self.answered}


class Client(threading.Thread):
    """One life of a client: settles what the last left open, works until the server is gone or it is told to stop."""

    def __init__(self, number, port, choices, secrets, pending, figures, pace, stop):
        super().__init__(daemon=True)
        self.number, self.port, self.random, self.secrets = number, port, choices, secrets
        self.pending = pending  # (secret, what it may have become) of a change without an answer
        self.figures, self.pace, self.stop = figures, pace, stop
        self.settled = threading.Event()
        self.under_way = False
        self.failure = None

    def run(self):
        try:
            self.connection = signing.Connection(self.port)
            self.signer = signing.Signer(f"127.0.0.1:{self.port}", serving.STORE_KEYS, serving.REGION)
            self.check_all()
            self.settled.set()
            due = time.monotonic()
            while not self.stop.is_set():
                self.step()
                due = max(due + 1 / self.pace, time.monotonic() - 1)
                time.sleep(max(0, due - time.monotonic()))
            self.connection.close()
        except OSError:
            pass
        except Exception as failure:  # noqa: BLE001 - handed to the main thread
            self.failure = failure
        finally:
            self.settled.set()

    def ask(self, operation, body, batch=0):
        self.under_way = True
        started = time.monotonic()
        status, headers, answer = self.connection.call(self.signer.request(operation, body))
        millis = (time.monotonic() - started) * 1000
        self.under_way = False
        expected = {operation: 1} | ({"GetSecretValue": batch} if batch else {})
        self.figures.note(operation, millis, headers["x-amzn-requestid"], expected)
        require(status < 500, f"{operation} was answered with {status}: {answer[:300]!r}")
        return status, json.loads(answer) if answer else {}

    def must(self, operation, body, batch=0):
        status, answer = self.ask(operation, body, batch)
        require(status == 200, f"{operation} of {body.get('SecretId')} was refused with {status}: {answer}")
        return answer

    def change(self, operation, body, secret, after):
        """A change that must be acknowledged, or may have happened if the server goes meanwhile."""
        self.pending = (secret, after)
        self.must(operation, body)
        self.become(secret, after)

    def become(self, secret, after):
        secret.__dict__.update(after.__dict__)
        self.pending = None

    # Reads, each compared with what must be true.

    def check_all(self):
        for secret in self.secrets:
            self.check(secret)

    def check(self, secret):
        told = told_by(*self.ask("DescribeSecret", {"SecretId": secret.name}))
        if self.pending and self.pending[0] is secret:
            after = self.pending[1]
            known = (secret.told(), after.told())
            require(told in known, f"{secret.name} is {told}, not as before or after the change that was under way")
            # Where the two look the same (a version without a label), the version itself tells.
            if told == after.told() and (told != secret.told() or self.has_new_version(secret, after)):
                self.become(secret, after)
            self.pending = None
        require(told == secret.told(), f"{secret.name} is {told} and must be {secret.told()}")
        if secret.exists and not secret.deleted:
            for version in secret.versions:
                self.read_version(secret, version)

    def has_new_version(self, secret, after):
        new = [version for version in after.versions if version not in secret.versions]
        if not new:
            return True
        status, _ = self.ask("GetSecretValue", {"SecretId": secret.name, "VersionId": new[0]})
        return status == 200

    def read_version(self, secret, version):
        answer = self.must("GetSecretValue", {"SecretId": secret.name, "VersionId": version})
        require(answer["SecretString"] == value_of(version), f"version {version} of {secret.name} is torn")

    def read(self, secret):
        status, answer = self.ask("GetSecretValue", {"SecretId": secret.name})
        if secret.exists and not secret.deleted:
            require(status == 200, f"{secret.name} cannot be read: {answer}")
            current = secret.labels["AWSCURRENT"]
            require(answer["VersionId"] == current, f"{secret.name} is at {answer['VersionId']}, not {current}")
            require(answer["SecretString"] == value_of(current), f"version {current} of {secret.name} is torn")
        else:
            code = "InvalidRequestException" if secret.exists else "ResourceNotFoundException"
            require(answer.get("__type") == code, f"{secret.name} should be {code} and is {status} {answer}")

    def read_batch(self):
        asked = self.random.sample(self.secrets, min(BATCH, len(self.secrets)))
        answer = self.must("BatchGetSecretValue", {"SecretIdList": [secret.name for secret in asked]}, len(asked))
        read = {value["Name"]: value["SecretString"] for value in answer["SecretValues"]}
        there = {s.name: value_of(s.labels["AWSCURRENT"]) for s in asked if s.exists and not s.deleted}
        require(read == there, f"a batch read {sorted(read)} and must read {sorted(there)}")
        refused = {error["SecretId"] for error in answer["Errors"]}
        require(refused == {s.name for s in asked} - set(there), f"a batch refused {refused}")

    def list(self):
        prefix = f"soak/{self.number}/"
        answer = self.must("ListSecrets", {"Filters": [{"Key": "name", "Values": [prefix]}]})
        listed = sorted(entry["Name"] for entry in answer["SecretList"])
        there = sorted(s.name for s in self.secrets if s.exists and not s.deleted)
        require(listed == there, f"listed are {listed} and there are {there}")

    def list_versions(self, secret):
        answer = self.must("ListSecretVersionIds", {"SecretId": secret.name, "IncludeDeprecated": True})
        listed = sorted(version["VersionId"] for version in answer["Versions"])
        require(listed == sorted(secret.versions), f"the versions of {secret.name} are {listed}")

    # Changes.

    def step(self):
        operation = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if operation == "CreateSecret" and len(self.secrets) < SECRETS_PER_CLIENT:
            self.secrets.append(Secret(f"soak/{self.number}/{len(self.secrets)}"))
            return self.create(self.secrets[-1])
        if operation == "GetRandomPassword" or not self.secrets:
            password = self.must("GetRandomPassword", {})["RandomPassword"]
            return require(len(password) == 32, f"a password of {len(password)} characters")
        if operation == "BatchGetSecretValue":
            return self.read_batch()
        if operation == "ListSecrets":
            return self.list()
        secret = self.random.choice(self.secrets)
        if operation == "RestoreSecret":
            secret = next((s for s in self.secrets if s.exists and s.deleted), secret)
        if operation == "CreateSecret":
            secret = next((s for s in self.secrets if not s.exists), secret)
        if not secret.exists:
            return self.create(secret) if operation == "CreateSecret" else self.read(secret)
        if secret.deleted:
            return self.restore(secret) if operation == "RestoreSecret" else self.read(secret)
        change = {
            "PutSecretValue": self.put,
            "UpdateSecret": self.update,
            "UpdateSecretVersionStage": self.move,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "DeleteSecret": self.delete,
            "ListSecretVersionIds": self.list_versions,
            "DescribeSecret": self.check_description,
        }.get(operation, self.read)
        return change(secret)

    def check_description(self, secret):
        told = told_by(*self.ask("DescribeSecret", {"SecretId": secret.name}))
        require(told == secret.told(), f"{secret.name} is {told} and must be {secret.told()}")

    def token(self):
        return str(uuid.UUID(int=self.random.getrandbits(128)))

    def create(self, secret):
        token, after = self.token(), Secret(secret.name)
        after.exists = True
        after.add_version(token, ["AWSCURRENT"])
        body = {"Name": secret.name, "SecretString": value_of(token), "ClientRequestToken": token}
        if self.random.random() < 0.5:
            body["Description"] = after.description = f"made as {token}"
        if self.random.random() < 0.5:
            body["Tags"], after.tags = [{"Key": "made", "Value": token}], {"made": token}
        self.change("CreateSecret", body, secret, after)

    def put(self, secret):
        token, after = self.token(), secret.copy()
        body = {"SecretId": secret.name, "SecretString": value_of(token), "ClientRequestToken": token}
        if self.random.random() < 0.25:
            body["VersionStages"] = [MARK]
        after.add_version(token, body.get("VersionStages", ["AWSCURRENT"]))
        self.change("PutSecretValue", body, secret, after)

    def update(self, secret):
        token, after, body = self.token(), secret.copy(), {"SecretId": secret.name}
        draw = self.random.random()
        if draw < 0.7:
            body["Description"] = after.description = f"updated as {token}"
        if draw > 0.4:
            body |= {"SecretString": value_of(token), "ClientRequestToken": token}
            after.add_version(token, ["AWSCURRENT"])
        self.change("UpdateSecret", body, secret, after)

    def move(self, secret):
        stage = self.random.choice(["AWSCURRENT", MARK])
        holder, target = secret.labels.get(stage), self.random.choice(secret.versions)
        if holder == target:
            return self.read(secret)
        after = secret.copy()
        after.move(stage, target)
        body = {"SecretId": secret.name, "VersionStage": stage, "MoveToVersionId": target}
        if holder:
            body["RemoveFromVersionId"] = holder
        return self.change("UpdateSecretVersionStage", body, secret, after)

    def tag(self, secret):
        tags = {f"key-{self.random.randrange(8)}": self.token() for _ in range(2)}
        after = secret.copy()
        after.tags = (after.tags or {}) | tags
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.change("TagResource", {"SecretId": secret.name, "Tags": listed}, secret, after)

    def untag(self, secret):
        keys, after = [f"key-{self.random.randrange(8)}", "made"], secret.copy()
        if after.tags is not None:
            after.tags = {key: value for key, value in after.tags.items() if key not in keys}
        self.change("UntagResource", {"SecretId": secret.name, "TagKeys": keys}, secret, after)

    def delete(self, secret):
        after = secret.copy()
        if len(secret.versions) >= VERSIONS_MAX or self.random.random() < 0.2:
            after.exists = False
            after.clear()
            body = {"SecretId": secret.name, "ForceDeleteWithoutRecovery": True}
        else:
            after.deleted = True
            body = {"SecretId": secret.name, "RecoveryWindowInDays": 7}
        self.change("DeleteSecret", body, secret, after)

    def restore(self, secret):
        after = secret.copy()
        after.deleted = False
        self.change("RestoreSecret", {"SecretId": secret.name}, secret, after)


class AuditLog:
    """Reads what was appended to the log since it was last asked, and counts records by request."""

    def __init__(self, folder):
        self.folder = folder
        self.offsets = collections.Counter()
        self.records = collections.defaultdict(collections.Counter)  # of requests not yet matched
        self.matched = set()
        self.read = 0

    def read_on(self):
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self.offsets[path])
                data = file.read()
            # Up to the first zero: what comes after may be a write that was seen from its middle on.
            data = data.partition(b"\0")[0]
            whole = data[: data.rfind(b"\n") + 1]
            for line in whole.split(b"\n"):
                if line.startswith(b"{"):
                    self.take(json.loads(line))
            self.offsets[path] += len(whole)

    def take(self, record):
        request = record.get("requestID")
        if request is None:
            return
        self.read += 1
        require(request not in self.matched, f"request {request} is recorded once more than it should be")
        self.records[request][record["eventName"]] += 1

    def match(self, answered):
        """Waits until all that was answered is recorded, as it should be."""
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while True:
            self.read_on()
            missing = [request for request, expected in answered if self.records.get(request) != expected]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        expected = dict(answered)
        for request in missing:
            raise Failed(f"request {request} is recorded as {self.records.get(request)}, not {expected[request]}")
        require(len(expected) == len(answered), "a request id was given twice")
        for request in expected:
            del self.records[request]
            self.matched.add(request)


class Sampler(threading.Thread):
    """Looks at the server's memory and file descriptors every half second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = None
        self.samples = []  # (seconds since the start of this server, resident KiB, file descriptors, kills before it)
        self.started, self.kills, self.stop = 0, 0, threading.Event()

    def watch(self, server, kills):
        self.started, self.kills, self.server = time.monotonic(), kills, server

    def run(self):
        while not self.stop.wait(0.5):
            server, started, kills = self.server, self.started, self.kills
            try:
                descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
                sample = (time.monotonic() - started, server.resident_kib(), descriptors, kills)
            except (OSError, StopIteration, AttributeError):
                continue  # between two servers
            if server is self.server:
                self.samples.append(sample)


def slope_per_minute(points):
    """The least squares' slope of (seconds, value)."""
    count = len(points)
    mean_x, mean_y = (sum(point[n] for point in points) / count for n in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def mean(values):
    values = list(values)
    return sum(values) / len(values)


class Soak:
    """One store and all its lives."""

    def __init__(self, options):
        self.options = options
        self.random = random.Random(SEED)
        self.store = serving.Store()
        self.store.init()
        self.log = AuditLog(self.store.home / "audit")
        self.figures = Figures()
        self.secrets = [[] for _ in range(options.clients)]
        self.pending = [None] * options.clients
        self.kills = self.unanswered = 0
        self.starts, self.verifications = [], []
        self.sampler = Sampler()

    def run(self):
        seconds = self.options.minutes * 60
        began = time.monotonic()
        self.sampler.start()
        while (elapsed := time.monotonic() - began) < seconds:
            quiet = elapsed > seconds * KILLING_SHARE
            self.life(max(seconds - elapsed, 1) if quiet else self.random.uniform(*LIFE_SECONDS))
            if self.kills % 10 == 0:
                answered = sum(self.figures.counts.values())
                elapsed = time.monotonic() - began
                print(f"  {self.kills} kills, {answered} requests answered, {elapsed:.0f} s", flush=True)
        self.life(0)  # what the last kill left is looked at once more
        self.sampler.stop.set()
        memory = self.tell(time.monotonic() - began)
        self.store.remove()
        return f"nothing lost, nothing unrecorded, file descriptors flat, {memory}"

    def life(self, seconds):
        """Starts the server, lets the clients settle and work, kills it; with no seconds, stops it when all settled."""
        started = time.monotonic()
        server = self.store.start("--cache-size", CACHE_SIZE)
        self.starts.append(time.monotonic() - started)
        self.sampler.watch(server, self.kills)
        stop = threading.Event()
        clients = [
            Client(
                number,
                server.port,
                random.Random(self.random.getrandbits(64)),
                self.secrets[number],
                self.pending[number],
                self.figures,
                self.options.pace,
                stop,
            )
            for number in range(self.options.clients)
        ]
        for client in clients:
            client.start()
        for client in clients:
            require(client.settled.wait(120), "a client is not done with looking at its secrets after 120 s")
        self.match_log()
        self.verify_log()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 5))
            self.log.match(self.figures.take_answered())
            if any(client.failure for client in clients):
                break
        if seconds:
            server.kill()
            self.kills += 1
        stop.set()
        for client in clients:
            client.join(60)
            require(not client.is_alive(), "a client hangs although its server is gone")
            if client.failure:
                raise client.failure
            self.pending[client.number] = client.pending
            self.unanswered += client.under_way
        if not seconds:
            require(server.stop() == 0, f"the last stop was not clean:\n{server.said()[-2000:]}")
            self.match_log()
            self.verify_log()
        require("panicked" not in server.said(), f"the server panicked:\n{server.said()[-2000:]}")

    def match_log(self):
        """With clients still at work; what a kill left undrained is recorded by the server that comes after."""
        self.log.match(self.figures.take_answered())
        # Those answered since are for the next time; a client has one request under way at most.
        strangers = self.log.records.keys() - self.figures.answered_since()
        require(
            len(strangers) <= self.unanswered + self.options.clients,
            f"{len(strangers)} requests are recorded without an answer, of which {self.unanswered} were cut off",
        )

    def verify_log(self):
        started = time.monotonic()
        done = self.store.run("audit", "verify", check=False, timeout=300)
        self.verifications.append(time.monotonic() - started)
        require(done.returncode == 0, f"`coffer audit verify` exited {done.returncode}: {done.stderr.decode()}")

    def tell(self, elapsed):
        counts, millis = self.figures.counts, sorted(self.figures.millis)
        total = sum(counts.values())
        print(f"  {total} requests answered in {elapsed:.0f} s, {self.kills} kills, {self.unanswered} cut off by them")
        print("  " + ", ".join(f"{operation} {count}" for operation, count in counts.most_common()))
        print(
            f"  latency p50 {millis[total // 2]:.2f} ms, p99 {millis[total * 99 // 100]:.2f} ms, "
            f"most {millis[-1]:.0f} ms, the starts' checks included"
        )
        starts = sorted(self.starts[1:])
        print(
            f"  start after a kill: median {starts[len(starts) // 2]:.2f} s, most {starts[-1]:.2f} s; "
            f"audit verify: last {self.verifications[-1]:.2f} s"
        )
        there = sum(secret.exists for secrets in self.secrets for secret in secrets)
        versions = sum(len(secret.versions) for secrets in self.secrets for secret in secrets)
        size = sum(path.stat().st_size for path in self.store.home.rglob("*") if path.is_file())
        print(
            f"  {self.log.read} records read and matched, {there} secrets with {versions} versions at the end, "
            f"{size / 2**20:.0f} MiB on disk"
        )
        return self.tell_memory()

    def tell_memory(self):
        lives = collections.Counter(sample[3] for sample in self.sampler.samples)
        longest = lives.most_common(1)[0][0]
        life = [sample for sample in self.sampler.samples if sample[3] == longest]
        calm = life[int(len(life) * WARM_UP_SHARE) :]
        resident = [kib for _, kib, _, _ in calm]
        third = len(calm) // 3
        require(third, "there are too few samples of the server's memory")
        first, last = mean(resident[:third]), mean(resident[-third:])
        lasted = calm[-1][0] - calm[0][0]
        slope = slope_per_minute([(seconds, kib) for seconds, kib, _, _ in calm])
        everything = [kib for _, kib, _, _ in self.sampler.samples]
        print(
            f"  resident memory (MiB): most {max(everything) / 1024:.1f}; undisturbed for {life[-1][0]:.0f} s "
            f"it was {life[0][1] / 1024:.1f} at first, {first / 1024:.1f} after the warm-up and {last / 1024:.1f} at "
            f"last, slope {slope / 1024:+.2f} a minute over {lasted:.0f} s"
        )
        descriptors = [count for _, _, count, _ in calm]
        print(f"  file descriptors: {min(descriptors)} to {max(descriptors)}, {descriptors[0]} then {descriptors[-1]}")
        grown = last - first
        require(grown <= RESIDENT_GROWTH_KIB_MAX, f"resident memory grew by {grown / 1024:.1f} MiB")
        if lasted >= SLOPE_SECONDS_MIN:
            most = RESIDENT_SLOPE_KIB_PER_MINUTE_MAX
            require(slope <= most, f"resident memory grows by {slope / 1024:.2f} MiB a minute")
            memory = f"memory flat for {lasted:.0f} s"
        else:
            memory = f"memory within {RESIDENT_GROWTH_KIB_MAX // 1024} MiB, too short a time to see it grow"
        require(max(descriptors) - min(descriptors) <= DESCRIPTORS_GROWTH_MAX, "file descriptors are not flat")
        return memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--pace", type=float, default=40)
    options = parser.parse_args()
    print(f"{options.clients} clients for {options.minutes:g} min with SIGKILLs, seed {SEED}", flush=True)
    return trials.run(lambda: Soak(options), "COFFER_SOAK_SEED", SEED)


if __name__ == "__main__":
    sys.exit(main())
