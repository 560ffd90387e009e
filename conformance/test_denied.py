"""A caller without a policy: denied everything, in AWS's words, and told nothing by it.

Whether a secret exists must not show: the same request about a name that is there and one that is not gets the
same answer, word for word, but for the name the caller itself supplied.
"""

import pytest
import serving
from conftest import OPERATIONS, new_token

pytestmark = pytest.mark.dev

ARN_OF_NOBODY = f"arn:aws:iam::{serving.ACCOUNT}:user/nobody"
ABOUT_A_SECRET = {
    "GetSecretValue": {},
    "PutSecretValue": {"SecretString": "v", "ClientRequestToken": new_token()},
    "DescribeSecret": {},
    "ListSecretVersionIds": {},
    "UpdateSecretVersionStage": {"VersionStage": "BLUE", "MoveToVersionId": new_token()},
    "DeleteSecret": {},
    "RestoreSecret": {},
    "TagResource": {"Tags": [{"Key": "k", "Value": "v"}]},
    "UntagResource": {"TagKeys": ["k"]},
    "UpdateSecret": {"Description": "d", "SecretString": "w", "ClientRequestToken": new_token()},
}


def test_every_operation_stands_here():
    assert sorted([*ABOUT_A_SECRET, "BatchGetSecretValue", "CreateSecret", "GetRandomPassword", "ListSecrets"]) == OPERATIONS


def denial(operation, resource):
    action = f"secretsmanager:{operation}"
    on = f" on resource: {resource}" if resource else ""
    return (
        f"User: {ARN_OF_NOBODY} is not authorized to perform: {action}{on}"
        f" because no identity-based policy allows the {action} action"
    )


def assert_denied(answer, operation, resource):
    assert (answer.status, answer.code) == (400, "AccessDeniedException")
    assert answer.message == denial(operation, resource)


@pytest.mark.parametrize("operation", ABOUT_A_SECRET)
def test_existing_and_missing_secrets_are_denied_alike(target, client, name, operation):
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    missing = name + "x"
    for secret_id in (name, arn, target.arn(name), missing, target.arn(missing), target.arn(missing) + "-AbCdEf"):
        body = {"SecretId": secret_id} | ABOUT_A_SECRET[operation]
        assert_denied(target.call(operation, body, keys=serving.NOBODY_KEYS), operation, secret_id)


def test_states_of_a_secret_do_not_show_either(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name)
    for operation, more in ABOUT_A_SECRET.items():
        body = {"SecretId": name} | more
        assert_denied(target.call(operation, body, keys=serving.NOBODY_KEYS), operation, name)


def test_deleting_at_once_what_is_not_there_is_denied_too(target, name):
    body = {"SecretId": name, "ForceDeleteWithoutRecovery": True}
    assert_denied(target.call("DeleteSecret", body, keys=serving.NOBODY_KEYS), "DeleteSecret", name)


def test_creating_is_denied_whether_or_not_the_name_is_taken(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    for wanted in (name, name + "x"):
        body = {"Name": wanted, "SecretString": "v", "ClientRequestToken": new_token()}
        assert_denied(target.call("CreateSecret", body, keys=serving.NOBODY_KEYS), "CreateSecret", wanted)
    assert target.call("DescribeSecret", {"SecretId": name + "x"}).code == "ResourceNotFoundException"


@pytest.mark.parametrize("operation", ["ListSecrets", "GetRandomPassword"])
def test_what_is_about_no_secret_is_denied_without_naming_a_resource(target, operation):
    assert_denied(target.call(operation, {}, keys=serving.NOBODY_KEYS), operation, None)


def test_a_batch_is_denied_before_it_is_looked_at(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    for body in ({"SecretIdList": [name, name + "x"]}, {"Filters": []}):
        assert_denied(target.call("BatchGetSecretValue", body, keys=serving.NOBODY_KEYS), "BatchGetSecretValue", None)


def test_a_cursor_does_not_help(target, region):
    client = target.client(region)
    for name in "ab":
        client.create_secret(Name=name)
    cursor = client.list_secrets(MaxResults=1)["NextToken"]
    answer = target.call("ListSecrets", {"NextToken": cursor}, keys=serving.NOBODY_KEYS, region=region)
    assert answer.code == "AccessDeniedException"


def test_nothing_was_changed(target, client, name):
    version = client.create_secret(Name=name, SecretString="v")["VersionId"]
    for operation, more in ABOUT_A_SECRET.items():
        target.call(operation, {"SecretId": name} | more, keys=serving.NOBODY_KEYS)
    described = client.describe_secret(SecretId=name)
    assert described["VersionIdsToStages"] == {version: ["AWSCURRENT"]}
    assert "DeletedDate" not in described


def test_boto3_raises_access_denied(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    nobody = target.client(keys=serving.NOBODY_KEYS)
    with pytest.raises(nobody.exceptions.ClientError) as caught:
        nobody.get_secret_value(SecretId=name)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert caught.value.response["Error"]["Message"] == denial("GetSecretValue", name)
