"""What every test is given: a running coffer, clients for it, and names of its own.

Each test runs twice, against `coffer serve --dev` and against a persistent store, unless it is marked for one.
A test that lists works in a region of its own, so that no other test's secrets are in its way; names are new
each time, so nothing has to be emptied between tests. `--endpoint URL` runs the suite against something else
that speaks the protocol (another emulator, say), with the keys `test`/`test`.
"""

import itertools
import re
import uuid
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import serving
import signing

OPERATIONS = [
    "BatchGetSecretValue",
    "CreateSecret",
    "DeleteSecret",
    "DescribeSecret",
    "GetRandomPassword",
    "GetSecretValue",
    "ListSecretVersionIds",
    "ListSecrets",
    "PutSecretValue",
    "RestoreSecret",
    "TagResource",
    "UntagResource",
    "UpdateSecret",
    "UpdateSecretVersionStage",
]
_regions = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--endpoint", help="test this endpoint instead of coffer; keys test/test")
    parser.addoption("--only", choices=["dev", "store"], help="test only against this kind of coffer")


class Target:
    """What is under test, and how to talk to it."""

    account = serving.ACCOUNT

    def __init__(self, kind, endpoint, keys, installation=None):
        self.kind = kind
        self.endpoint = endpoint
        self.keys = keys
        self.installation = installation

    def client(self, region=serving.REGION, keys=None, **config):
        """boto3 as people use it, but without retries: a test wants to see the first answer."""
        access_key_id, secret_access_key = keys or self.keys
        return boto3.client(
            "secretsmanager",
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(**({"retries": {"total_max_attempts": 1}} | config)),
        )

    def call(self, operation, body, *, keys=None, region=serving.REGION, headers=None, now=None, token=None):
        """A correctly signed request with any body at all."""
        signed = signing.signed(
            self.endpoint, operation, body, keys or self.keys, region, headers=headers, now=now, token=token
        )
        return signing.send(self.endpoint, body, signed)

    def arn(self, name, region=serving.REGION):
        """The ARN of a secret without its suffix."""
        return f"arn:aws:secretsmanager:{region}:{self.account}:secret:{name}"


def _kinds(config):
    if config.getoption("--endpoint"):
        return ["other"]
    return [config.getoption("--only")] if config.getoption("--only") else ["dev", "store"]


def pytest_generate_tests(metafunc):
    if "target" in metafunc.fixturenames:
        kinds = _kinds(metafunc.config)
        wanted = [kind for kind in ("dev", "store") if metafunc.definition.get_closest_marker(kind)]
        kinds = [kind for kind in kinds if not wanted or kind in wanted]
        metafunc.parametrize("target", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def target(request):
    if request.param == "other":
        yield Target("other", request.config.getoption("--endpoint"), serving.DEV_KEYS)
        return
    installation = serving.Dev() if request.param == "dev" else serving.Store()
    try:
        if request.param == "store":
            installation.init()
        server = installation.start()
        yield Target(request.param, server.endpoint, installation.keys, installation)
        status = server.stop()
        assert status == 0, f"coffer ended with status {status}; it said:\n{server.said()}"
        assert "panicked" not in server.said(), server.said()
    finally:
        if installation.server and installation.server.process.poll() is None:
            installation.server.kill()
        installation.remove()


@pytest.fixture
def client(target):
    return target.client()


@pytest.fixture
def name():
    return f"conformance/{uuid.uuid4().hex}"


@pytest.fixture
def region():
    """A region that no other test has used."""
    return f"xx-test-{next(_regions)}"


def new_token():
    return str(uuid.uuid4())


@contextmanager
def refused(code, message=None):
    """The block must be refused by the server with this code, status 400 and, if given, exactly this message.

    `message` may be a compiled pattern, which must match the whole message.
    """
    with pytest.raises(ClientError) as caught:
        yield caught
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer["Error"]
    said = answer["Error"]["Message"]
    if isinstance(message, re.Pattern):
        assert message.fullmatch(said), said
    elif message is not None:
        assert said == message
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400


# AWS's words, which people's alarms and clients match on.
SECRET_NOT_FOUND = "Secrets Manager can't find the specified secret."
MARKED_FOR_DELETION = "You can't perform this operation on the secret because it was marked for deletion."
SCHEDULED_FOR_DELETION = (
    "You can't create this secret because a secret with this name is already scheduled for deletion."
)
INVALID_NAME = (
    "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
)
NO_TOKEN = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
STAGE_NOT_ON_VERSION = "You provided a VersionStage that is not associated to the provided VersionId."


def value_not_found(selected):
    return f"Secrets Manager can't find the specified secret value for {selected}"


def token_in_use(token, arn):
    return (
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    )
