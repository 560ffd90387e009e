"""UpdateSecret: what it changes, what it answers, and what is refused."""

import pytest
from conftest import MARKED_FOR_DELETION, NO_TOKEN, SECRET_NOT_FOUND, new_token, refused, token_in_use


def test_a_description_alone_makes_no_version(client, name):
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    updated = client.update_secret(SecretId=name, Description="d")
    assert set(updated) == {"ARN", "Name", "ResponseMetadata"}
    assert (updated["ARN"], updated["Name"]) == (arn, name)
    described = client.describe_secret(SecretId=name)
    assert described["Description"] == "d"
    assert len(described["VersionIdsToStages"]) == 1
    client.update_secret(SecretId=name, Description="")
    assert "Description" not in client.describe_secret(SecretId=name)


def test_a_value_makes_a_version_which_is_current(client, name):
    first = client.create_secret(Name=name, SecretString="1", Description="d")["VersionId"]
    updated = client.update_secret(SecretId=name, SecretString="2")
    assert set(updated) == {"ARN", "Name", "VersionId", "ResponseMetadata"}
    described = client.describe_secret(SecretId=name)
    assert described["VersionIdsToStages"] == {first: ["AWSPREVIOUS"], updated["VersionId"]: ["AWSCURRENT"]}
    assert described["Description"] == "d"
    assert client.get_secret_value(SecretId=name)["SecretString"] == "2"
    client.update_secret(SecretId=name, SecretBinary=b"3", Description="e")
    assert client.get_secret_value(SecretId=name)["SecretBinary"] == b"3"
    assert client.describe_secret(SecretId=name)["Description"] == "e"


def test_a_token_again(client, name):
    """With the same value it succeeds: moto's test_update_same_secret_value_with_same_token, verified on AWS."""
    arn = client.create_secret(Name=name, SecretString="1")["ARN"]
    token = new_token()
    for _ in range(2):
        assert client.update_secret(SecretId=name, SecretString="2", ClientRequestToken=token)["VersionId"] == token
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]) == 2
    with refused("ResourceExistsException", token_in_use(token, arn)):
        client.update_secret(SecretId=name, SecretString="3", ClientRequestToken=token)


def test_a_token_is_needed_for_a_value_only(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("UpdateSecret", {"SecretId": name, "SecretString": "w"})
    assert (answer.code, answer.message) == ("InvalidRequestException", NO_TOKEN)
    assert target.call("UpdateSecret", {"SecretId": name, "Description": "d"}).status == 200


def test_the_default_key_and_no_other(client, name):
    client.create_secret(Name=name, SecretString="v")
    for key in ("", "alias/aws/secretsmanager"):
        client.update_secret(SecretId=name, KmsKeyId=key)
    assert "KmsKeyId" not in client.describe_secret(SecretId=name)
    with refused("EncryptionFailure"):
        client.update_secret(SecretId=name, KmsKeyId="alias/mine", Description="d")
    assert "Description" not in client.describe_secret(SecretId=name)


def test_a_secret_marked_for_deletion_and_none_at_all(client, name):
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.update_secret(SecretId=name, Description="d")
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name)
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.update_secret(SecretId=name, Description="d")


@pytest.mark.parametrize(
    "body, code",
    [
        ({"Type": "x"}, "InvalidParameterException"),
        ({"SecretString": "a", "SecretBinary": "YQ=="}, "InvalidParameterException"),
        ({"SecretString": "v" * 65_537}, "ValidationException"),
        ({"SecretString": ""}, "ValidationException"),
        ({"Description": "d" * 2049}, "ValidationException"),
        ({"KmsKeyId": "k" * 2049}, "ValidationException"),
    ],
    ids=["a type", "both kinds", "too large", "empty", "too long a description", "too long a key's name"],
)
def test_what_is_refused(target, client, name, body, code):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("UpdateSecret", {"SecretId": name, "ClientRequestToken": new_token()} | body)
    assert (answer.status, answer.code) == (400, code)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"
