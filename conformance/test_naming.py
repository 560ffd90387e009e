"""How a secret may be named in a request: by name, by ARN, by ARN without its suffix; and regions."""

import pytest
from conftest import SECRET_NOT_FOUND, refused

import serving


@pytest.mark.parametrize("suffix", ["", "-a1b2", "-a1b2c3-", "/_+=.@!-x"])
def test_name_arn_and_partial_arn_name_the_same(target, client, name, suffix):
    name += suffix
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    for secret_id in (name, arn, target.arn(name)):
        read = client.get_secret_value(SecretId=secret_id)
        assert (read["ARN"], read["Name"], read["SecretString"]) == (arn, name, "v")
        assert client.describe_secret(SecretId=secret_id)["ARN"] == arn
        assert client.list_secret_version_ids(SecretId=secret_id)["Name"] == name


def test_every_operation_takes_an_arn(client, name):
    made = client.create_secret(Name=name, SecretString="1")
    arn = made["ARN"]
    put = client.put_secret_value(SecretId=arn, SecretString="2")
    assert (put["ARN"], put["Name"]) == (arn, name)
    moved = client.update_secret_version_stage(SecretId=arn, VersionStage="BLUE", MoveToVersionId=made["VersionId"])
    assert moved["Name"] == name
    assert client.delete_secret(SecretId=arn)["Name"] == name
    assert client.restore_secret(SecretId=arn)["Name"] == name


def test_a_partial_arn_of_a_name_that_looks_suffixed_finds_nothing(target, client, name):
    name += "-a1b2c3"
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"
    assert client.get_secret_value(SecretId=arn)["SecretString"] == "v"
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.get_secret_value(SecretId=target.arn(name))


def test_an_arn_with_another_suffix_finds_nothing(target, client, name):
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    other = arn[:-1] + ("A" if arn[-1] != "A" else "B")
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.get_secret_value(SecretId=other)


def test_an_arn_of_another_account(client, name):
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    with pytest.raises(client.exceptions.ClientError, match="ResourceNotFoundException|AccessDeniedException"):
        client.get_secret_value(SecretId=arn.replace(serving.ACCOUNT, "999999999999"))


def test_regions_keep_their_secrets_apart(target, region):
    here, there = target.client(region), target.client(region + "0")
    first = here.create_secret(Name="same", SecretString="here")
    second = there.create_secret(Name="same", SecretString="there")
    assert f":{region}:" in first["ARN"]
    assert f":{region}0:" in second["ARN"]
    assert here.get_secret_value(SecretId="same")["SecretString"] == "here"
    assert there.get_secret_value(SecretId="same")["SecretString"] == "there"
    assert [entry["ARN"] for entry in here.list_secrets()["SecretList"]] == [first["ARN"]]
    here.delete_secret(SecretId="same", ForceDeleteWithoutRecovery=True)
    assert there.get_secret_value(SecretId="same")["SecretString"] == "there"


def test_an_arn_of_another_region_finds_nothing_here(target, region):
    arn = target.client(region + "0").create_secret(Name="elsewhere", SecretString="v")["ARN"]
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        target.client(region).get_secret_value(SecretId=arn)


@pytest.mark.parametrize(
    "text", ["arn:", "arn:aws:s3:::bucket", "arn:aws:secretsmanager:us-east-1:123456789012:secret:"]
)
def test_an_arn_that_names_no_secret(client, text):
    with pytest.raises(
        client.exceptions.ClientError, match="ValidationException|InvalidParameterException|ResourceNotFound"
    ):
        client.get_secret_value(SecretId=text)


def test_an_id_of_2049_characters(target):
    answer = target.call("GetSecretValue", {"SecretId": "n" * 2049})
    assert answer.status == 400
    assert answer.code in ("ValidationException", "InvalidParameterException")
