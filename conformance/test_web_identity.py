"""Roles taken on with tokens of an identity provider: boto3 and the aws CLI as a job of GitHub or a pod has them."""

import json
import pathlib
import subprocess
import sys
import time

import boto3
import pytest
import rsa
import serving
from access import allow, client, policy, refused, unique
from botocore import UNSIGNED
from botocore.config import Config
from issuer import Issuer


@pytest.fixture(scope="session")
def keys():
    # A modulus of fewer bits than it says, as the quick way makes them, is refused as it must be.
    return rsa.newkeys(2048)


@pytest.fixture
def issuer(keys):
    issuer = Issuer(keys)
    yield issuer
    issuer.close()


@pytest.fixture
def iam(target):
    return client(target, "iam")


def trust(target, issuer, sub="app", operator="StringEquals", **more):
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{target.account}:oidc-provider/{issuer.name}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {operator: {f"{issuer.name}:sub": sub, f"{issuer.name}:aud": "sts.amazonaws.com"} | more},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def role(target, issuer, iam):
    """A provider for the issuer, and a role that trusts its subject `app`: the role's ARN."""
    iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=["sts.amazonaws.com"])
    name = unique("role")
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(target, issuer))["Role"]["Arn"]


def assume(target, role, token, **more):
    sts = boto3.client(
        "sts",
        endpoint_url=target.endpoint,
        region_name=serving.REGION,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )
    return sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="run", WebIdentityToken=token, **more)


def test_a_token_gives_credentials(target, issuer, role):
    answer = assume(target, role, issuer.token(), DurationSeconds=900)
    assert answer["SubjectFromWebIdentityToken"] == "app"
    assert answer["Audience"] == "sts.amazonaws.com"
    assert answer["Provider"] == f"arn:aws:iam::{target.account}:oidc-provider/{issuer.name}"
    credentials = answer["Credentials"]
    session = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    arn = client(target, "sts", session).get_caller_identity()["Arn"]
    assert arn == answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{target.account}:assumed-role/{role.split('/')[1]}/run"
    assume(target, role, issuer.token())
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"], "asked once for both"


def web_identity_environment(target, role, issuer, tmp_path):
    token = tmp_path / "token"
    token.write_text(issuer.token())
    return serving.clean_environment(
        HOME=tmp_path,
        AWS_ROLE_ARN=role,
        AWS_WEB_IDENTITY_TOKEN_FILE=token,
        AWS_ROLE_SESSION_NAME="pod",
        AWS_ENDPOINT_URL=target.endpoint,
        AWS_DEFAULT_REGION=serving.REGION,
    )


READ = """
import boto3, sys
print(boto3.client("secretsmanager").get_secret_value(SecretId=sys.argv[1])["SecretString"])
"""


def test_sdk_and_cli_need_nothing_but_the_environment_of_a_pod(target, issuer, role, iam, client, name, tmp_path):
    secret = client.create_secret(Name=name, SecretString="the value")["ARN"]
    role_name = role.split("/")[1]
    document = policy(allow("secretsmanager:GetSecretValue", secret))
    iam.put_role_policy(RoleName=role_name, PolicyName="own", PolicyDocument=document)
    environment = web_identity_environment(target, role, issuer, tmp_path)
    aws = pathlib.Path(sys.executable).with_name("aws")
    cli = [aws, "secretsmanager", "get-secret-value", "--secret-id", name, "--query", "SecretString", "--output", "text"]
    for command in ([sys.executable, "-c", READ, name], cli):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.returncode) == ("the value\n", 0), done.stderr


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"aud": "other"}, "InvalidIdentityToken", "Incorrect token audience"),
        ({"exp": 1}, "ExpiredTokenException", "Token expired: current date/time"),
        ({"sub": "other"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
        ({"iss": "https://idp.example"}, "InvalidIdentityToken", "No OpenIDConnect provider found in your account"),
        ({"header": {"alg": "none"}}, "InvalidIdentityToken", "is not a valid JWT"),
        ({"header": {"alg": "HS256"}}, "InvalidIdentityToken", "is not a valid JWT"),
        ({"header": {"kid": "k2"}}, "InvalidIdentityToken", "Couldn't retrieve verification key"),
        ({"header": {"alg": "RS512"}}, "InvalidIdentityToken", "Couldn't retrieve verification key"),
    ],
)
def test_what_is_refused_and_how(target, issuer, role, more, code, words):
    with refused(code, 403 if code == "AccessDenied" else 400, words):
        assume(target, role, issuer.token(**more))


def test_a_token_that_was_altered(target, issuer, role):
    header, claims, signature = issuer.token().split(".")
    _, others, _ = issuer.token(sub="app", exp=int(time.time()) + 9999).split(".")
    with refused("InvalidIdentityToken", 400, "Token signature invalid"):
        assume(target, role, f"{header}.{others}.{signature}")


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        ("/.well-known/openid-configuration", (503, b"", {}), "IDPCommunicationError"),
        ("/.well-known/openid-configuration", (404, b"", {}), "InvalidIdentityToken"),
        ("/keys", (200, b"", {"pause": 6}), "IDPCommunicationError"),
        ("/keys", (200, b"[" * 300_000, {}), "InvalidIdentityToken"),
        ("/keys", (200, b"[" * 1000, {}), "InvalidIdentityToken"),
        ("/keys", (302, b"", {"Location": "/others"}), "InvalidIdentityToken"),
    ],
)
def test_an_issuer_that_answers_badly(target, issuer, role, path, answer, code):
    issuer.answers[path] = answer
    started = time.monotonic()
    with refused(code, 400):
        assume(target, role, issuer.token())
    assert time.monotonic() - started < 8
    assert "/others" not in issuer.asked, "nobody is followed elsewhere"


def test_an_issuer_that_is_not_there(target, issuer, role):
    issuer.close()
    with refused("IDPCommunicationError", 400):
        assume(target, role, issuer.token())


def test_trust_in_everybody_with_a_token_of_github_is_refused(target, iam):
    provider = f"arn:aws:iam::{target.account}:oidc-provider/token.actions.githubusercontent.com"
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}},
    }
    with refused("MalformedPolicyDocument", 400, "token.actions.githubusercontent.com:sub"):
        iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument=json.dumps(policy_of(statement)))


def policy_of(statement):
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_keys_from_a_file_and_no_token_in_what_is_kept(keys, tmp_path):
    """An issuer that cannot be asked, as in a closed network; then every file and every word of the server's is looked through."""
    issuer = Issuer(keys)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [issuer.key()]}))
    issuer.close()
    folder = tmp_path / "dev"
    folder.mkdir()
    command = [serving.binary_path(), "serve", "--dev", "--oidc-keys", f"{issuer.url}={file}"]
    server = serving.start(command, folder, serving.clean_environment(HOME=folder))
    try:
        target = type("Target", (), {"endpoint": f"http://127.0.0.1:{server.port}", "keys": serving.DEV_KEYS})()
        target.account = serving.ACCOUNT
        iam = client_of_target(target)
        iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=["sts.amazonaws.com"])
        arn = iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust(target, issuer))["Role"]["Arn"]
        good, bad = issuer.token(), issuer.token(sub="other")
        assert assume(target, arn, good)["SubjectFromWebIdentityToken"] == "app"
        with refused("AccessDenied", 403):
            assume(target, arn, bad)
        file.write_text("no keys")
        assert assume(target, arn, good), "what was read is good for a while"
    finally:
        server.stop()
    said = server.said()
    for token in (good, bad):
        assert token not in said and token.split(".")[2] not in said


def client_of_target(target):
    return client(target, "iam")
