"""The aws CLI, unmodified: version 1 from pip and, where it is installed, version 2. Every operation served."""

import base64
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
import serving
from conftest import MARKED_FOR_DELETION, SECRET_NOT_FOUND, new_token

# Exit statuses of the two generations: a refusal by the service, and wrong usage.
SERVICE_REFUSED = {"v1": 255, "v2": 254}
BAD_USAGE = {"v1": 2, "v2": 252}


def _version_one():
    beside = pathlib.Path(sys.executable).with_name("aws")
    return str(beside) if beside.exists() else None


def _version_two():
    found = shutil.which("aws")
    if not found:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True)
    return found if "aws-cli/2" in said.stdout + said.stderr else None


CLIS = {"v1": _version_one(), "v2": _version_two()}


@pytest.fixture(params=CLIS)
def aws(request, target, tmp_path):
    generation = request.param
    command = CLIS[generation]
    if command is None:
        assert generation != "v1", "aws CLI v1 is in requirements.txt and was not found beside this Python"
        pytest.skip("aws CLI v2 is not installed")

    def run(*arguments, keys=None, expect=None, service="secretsmanager"):
        access_key_id, secret_access_key = keys or target.keys
        environment = serving.clean_environment(
            HOME=tmp_path,
            AWS_ACCESS_KEY_ID=access_key_id,
            AWS_SECRET_ACCESS_KEY=secret_access_key,
            AWS_DEFAULT_REGION=serving.REGION,
            AWS_CONFIG_FILE=tmp_path / "none",
            AWS_SHARED_CREDENTIALS_FILE=tmp_path / "none",
            AWS_PAGER="",
            AWS_MAX_ATTEMPTS="1",
        )
        done = subprocess.run(
            [command, "--endpoint-url", target.endpoint, service, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert done.returncode == (expect[generation] if expect else 0), done.stderr
        if expect:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() and "text" not in arguments else done.stdout

    return run


def test_a_secrets_whole_life(aws, target, name):
    first, second = new_token(), new_token()
    made = aws(
        "create-secret", "--name", name, "--description", "Twitter credentials", "--secret-string", '{"api_key":"1"}',
        "--client-request-token", first, "--tags", "Key=Project,Value=btc-agent",
    )  # fmt: skip
    assert (made["Name"], made["VersionId"]) == (name, first)
    read = aws("get-secret-value", "--secret-id", name)
    assert read["SecretString"] == '{"api_key":"1"}'
    put = aws(
        "put-secret-value", "--secret-id", name, "--secret-string", '{"api_key":"2"}', "--client-request-token", second
    )
    assert put["VersionStages"] == ["AWSCURRENT"]
    assert (
        aws("get-secret-value", "--secret-id", made["ARN"], "--query", "SecretString", "--output", "text")
        == '{"api_key":"2"}\n'
    )
    described = aws("describe-secret", "--secret-id", name)
    assert described["VersionIdsToStages"] == {first: ["AWSPREVIOUS"], second: ["AWSCURRENT"]}
    assert described["Tags"] == [{"Key": "Project", "Value": "btc-agent"}]
    versions = aws("list-secret-version-ids", "--secret-id", name, "--include-deprecated")["Versions"]
    assert [version["VersionId"] for version in versions] == [first, second]
    aws(
        "update-secret-version-stage", "--secret-id", name, "--version-stage", "AWSCURRENT",
        "--move-to-version-id", first, "--remove-from-version-id", second,
    )  # fmt: skip
    assert aws("get-secret-value", "--secret-id", name)["VersionId"] == first
    assert aws("get-secret-value", "--secret-id", name, "--version-stage", "AWSPREVIOUS")["VersionId"] == second
    assert aws("get-secret-value", "--secret-id", name, "--version-id", second)["SecretString"] == '{"api_key":"2"}'
    assert "DeletionDate" in aws("delete-secret", "--secret-id", name, "--recovery-window-in-days", "7")
    said = aws("get-secret-value", "--secret-id", name, expect=SERVICE_REFUSED)
    assert "(InvalidRequestException)" in said and MARKED_FOR_DELETION in said
    assert aws("restore-secret", "--secret-id", name)["Name"] == name
    assert aws("get-secret-value", "--secret-id", name)["VersionId"] == first
    aws("delete-secret", "--secret-id", name, "--force-delete-without-recovery")
    said = aws("describe-secret", "--secret-id", name, expect=SERVICE_REFUSED)
    assert "(ResourceNotFoundException)" in said and SECRET_NOT_FOUND in said


def test_paging_by_the_cli(aws, target, name):
    names = [f"{name}/{n}" for n in range(5)]
    client = target.client()
    for each in names:
        client.create_secret(Name=each)
    listed = aws("list-secrets", "--page-size", "2", "--query", "SecretList[].Name")
    assert [each for each in listed if each.startswith(name)] == names
    first = aws("list-secrets", "--max-items", "1")
    assert len(first["SecretList"]) == 1
    assert (
        aws("list-secrets", "--max-items", "1", "--starting-token", first["NextToken"])["SecretList"]
        != first["SecretList"]
    )


def test_binary_from_a_file(aws, name, tmp_path):
    value = bytes(range(256))
    (tmp_path / "value").write_bytes(value)
    aws("create-secret", "--name", name, "--secret-binary", f"fileb://{tmp_path / 'value'}")
    assert base64.b64decode(aws("get-secret-value", "--secret-id", name)["SecretBinary"]) == value


def test_updates_tags_batches_and_passwords(aws, name):
    aws("create-secret", "--name", name, "--secret-string", "1")
    aws("update-secret", "--secret-id", name, "--secret-string", "2", "--description", "d")
    aws("tag-resource", "--secret-id", name, "--tags", "Key=k,Value=v")
    described = aws("describe-secret", "--secret-id", name)
    assert (described["Description"], described["Tags"]) == ("d", [{"Key": "k", "Value": "v"}])
    aws("untag-resource", "--secret-id", name, "--tag-keys", "k")
    assert aws("describe-secret", "--secret-id", name)["Tags"] == []
    batch = aws("batch-get-secret-value", "--secret-id-list", name, name + "/none")
    assert [entry["SecretString"] for entry in batch["SecretValues"]] == ["2"]
    assert [entry["SecretId"] for entry in batch["Errors"]] == [name + "/none"]
    found = aws("batch-get-secret-value", "--filters", f"Key=name,Values={name}", "--max-results", "1")
    assert [entry["SecretString"] for entry in found["SecretValues"]] == ["2"]
    assert len(aws("get-random-password", "--password-length", "40")["RandomPassword"]) == 40


def test_refusals_end_with_the_clis_own_status(aws, target, name):
    assert "(ResourceNotFoundException)" in aws("get-secret-value", "--secret-id", name, expect=SERVICE_REFUSED)
    assert "(ValidationException)" in aws("get-secret-value", "--secret-id", "Inv Name", expect=SERVICE_REFUSED)
    said = aws("list-secrets", keys=(target.keys[0], "wrong"), expect=SERVICE_REFUSED)
    assert "(InvalidSignatureException)" in said
    said = aws("list-secrets", keys=("AKIAUNKNOWN000000000", "x"), expect=SERVICE_REFUSED)
    assert "(UnrecognizedClientException)" in said
    aws("rotate-secret", "--secret-id", name, expect=SERVICE_REFUSED)
    aws("get-secret-value", expect=BAD_USAGE)


@pytest.mark.dev
def test_denied(aws, name):
    said = aws("get-secret-value", "--secret-id", name, keys=serving.NOBODY_KEYS, expect=SERVICE_REFUSED)
    assert "(AccessDeniedException)" in said
    assert f"is not authorized to perform: secretsmanager:GetSecretValue on resource: {name} because" in said


def test_the_endpoint_from_the_environment(target, name, tmp_path):
    """`coffer env` exports AWS_ENDPOINT_URL; nothing else of a script has to change."""
    target.client().create_secret(Name=name, SecretString="v")
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
        environment = serving.clean_environment(
            HOME=tmp_path,
            AWS_ACCESS_KEY_ID=target.keys[0],
            AWS_SECRET_ACCESS_KEY=target.keys[1],
            AWS_REGION=serving.REGION,
            AWS_DEFAULT_REGION=serving.REGION,
            **{variable: target.endpoint},
        )
        done = subprocess.run(
            [CLIS["v1"], "secretsmanager", "get-secret-value", "--secret-id", name, "--query", "SecretString"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert done.stdout == '"v"\n', done.stderr


def test_users_policies_and_who_i_am(aws, target, name):
    user = name.rsplit("/", 1)[-1]
    assert aws("get-caller-identity", service="sts")["Account"] == target.account
    aws("create-user", "--user-name", user, "--tags", "Key=k,Value=v", service="iam")
    document = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"}}'
    aws("put-user-policy", "--user-name", user, "--policy-name", "p", "--policy-document", document, service="iam")
    key = aws("create-access-key", "--user-name", user, service="iam")["AccessKey"]
    keys = key["AccessKeyId"], key["SecretAccessKey"]
    assert aws("get-user", keys=keys, service="iam")["User"]["UserName"] == user
    assert aws("get-user-policy", "--user-name", user, "--policy-name", "p", service="iam")["PolicyName"] == "p"
    listed = aws("list-users", "--query", "Users[].UserName", service="iam")
    assert user in listed
