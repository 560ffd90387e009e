"""CreateSecret: what it answers, what it keeps, what it refuses."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import INVALID_NAME, NO_TOKEN, new_token, refused, token_in_use, value_not_found

BOTH_VALUES = "You can't specify both a binary secret value and a string secret value in the same secret."


def test_answers_arn_name_and_version(target, client, name):
    token = new_token()
    made = client.create_secret(Name=name, SecretString="v", ClientRequestToken=token)
    assert set(made) == {"ARN", "Name", "VersionId", "ResponseMetadata"}
    assert made["Name"] == name
    assert made["VersionId"] == token
    assert re.fullmatch(re.escape(target.arn(name)) + r"-[A-Za-z0-9]{6}", made["ARN"])


def test_without_a_value_there_is_no_version(client, name):
    made = client.create_secret(Name=name)
    assert set(made) == {"ARN", "Name", "ResponseMetadata"}
    described = client.describe_secret(SecretId=name)
    assert set(described) == {"ARN", "Name", "CreatedDate", "LastChangedDate", "ResponseMetadata"}
    assert client.list_secret_version_ids(SecretId=name)["Versions"] == []
    with refused("ResourceNotFoundException", value_not_found("staging label: AWSCURRENT")):
        client.get_secret_value(SecretId=name)
    version = new_token()
    with refused("ResourceNotFoundException", value_not_found(f"VersionId: {version}")):
        client.get_secret_value(SecretId=name, VersionId=version)


def test_a_name_that_is_taken(client, name):
    client.create_secret(Name=name, SecretString="v")
    with refused("ResourceExistsException", f"The operation failed because the secret {name} already exists."):
        client.create_secret(Name=name, SecretString="w")
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


def test_the_same_request_again_changes_nothing(client, name):
    token = new_token()
    first = client.create_secret(Name=name, SecretString="v", ClientRequestToken=token)
    again = client.create_secret(Name=name, SecretString="v", ClientRequestToken=token)
    assert (again["ARN"], again["VersionId"]) == (first["ARN"], token)
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]) == 1


def test_the_same_token_with_another_value(client, name):
    token = new_token()
    arn = client.create_secret(Name=name, SecretString="v", ClientRequestToken=token)["ARN"]
    with refused("ResourceExistsException", token_in_use(token, arn)):
        client.create_secret(Name=name, SecretString="w", ClientRequestToken=token)


def test_a_string_and_binary_value_of_the_same_bytes_are_different(client, name):
    token = new_token()
    arn = client.create_secret(Name=name, SecretString="v", ClientRequestToken=token)["ARN"]
    with refused("ResourceExistsException", token_in_use(token, arn)):
        client.create_secret(Name=name, SecretBinary=b"v", ClientRequestToken=token)


def test_of_many_at_once_one_wins(target, name):
    def attempt(value):
        answer = target.call("CreateSecret", {"Name": name, "SecretString": value, "ClientRequestToken": new_token()})
        return answer.status if answer.status == 200 else answer.code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(map(str, pool.map(attempt, "abcdefgh")))
    assert answers == ["200"] + ["ResourceExistsException"] * 7


def test_both_kinds_of_value(client, name):
    with refused("InvalidParameterException", BOTH_VALUES):
        client.create_secret(Name=name, SecretString="v", SecretBinary=b"v")


@pytest.mark.parametrize("bad", ["Inv Name", " Inv Name", " Inv*Name? ", "Inv *?!]Name\\-", "naïve", "a:b", "a,b"])
def test_a_name_outside_the_set(client, bad):
    with refused("ValidationException", INVALID_NAME):
        client.create_secret(Name=bad, SecretString="v")


@pytest.mark.parametrize("good", ["/", "a", "A-/_+=.@!9", "..", "a//b/"])
def test_a_name_at_the_edge_of_the_set(target, region, good):
    client = target.client(region)
    client.create_secret(Name=good, SecretString="v")
    assert client.get_secret_value(SecretId=good)["SecretString"] == "v"


def test_a_name_of_512_characters_and_of_513(target, region):
    client = target.client(region)
    client.create_secret(Name="n" * 512, SecretString="v")
    assert client.get_secret_value(SecretId="n" * 512)["Name"] == "n" * 512
    answer = target.call(
        "CreateSecret", {"Name": "n" * 513, "SecretString": "v", "ClientRequestToken": new_token()}, region=region
    )
    assert answer.status == 400
    assert answer.code in ("ValidationException", "InvalidParameterException")


def test_without_a_token(target, name):
    answer = target.call("CreateSecret", {"Name": name, "SecretString": "v"})
    assert (answer.status, answer.code, answer.message) == (400, "InvalidRequestException", NO_TOKEN)


@pytest.mark.parametrize("characters, status", [(31, 400), (32, 200), (64, 200), (65, 400)])
def test_a_token_has_32_to_64_characters(target, name, characters, status):
    body = {"Name": name, "SecretString": "v", "ClientRequestToken": "t" * characters}
    answer = target.call("CreateSecret", body)
    assert answer.status == status
    if status == 400:
        assert answer.code in ("ValidationException", "InvalidParameterException")


def test_description_and_tags_are_kept(client, name):
    tags = [{"Key": "Project", "Value": "Signal9Advisor"}, {"Key": "größe", "Value": ""}]
    client.create_secret(Name=name, SecretString="v", Description="API credentials – primary", Tags=tags)
    described = client.describe_secret(SecretId=name)
    assert described["Description"] == "API credentials – primary"
    assert sorted(described["Tags"], key=lambda tag: tag["Key"]) == tags


@pytest.mark.parametrize("characters, status", [(2048, 200), (2049, 400)])
def test_a_description_has_at_most_2048_characters(target, name, characters, status):
    body = {"Name": name, "Description": "é" * characters, "ClientRequestToken": new_token()}
    assert target.call("CreateSecret", body).status == status


TAGS = {
    "fifty": ([{"Key": f"k{n}", "Value": "v"} for n in range(50)], 200),
    "fifty-one": ([{"Key": f"k{n}", "Value": "v"} for n in range(51)], 400),
    "a key twice": ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], 400),
    "a reserved key": ([{"Key": "aws:x", "Value": "1"}], 400),
    "an empty key": ([{"Key": "", "Value": "1"}], 400),
    "a key of 128": ([{"Key": "k" * 128, "Value": "1"}], 200),
    "a key of 129": ([{"Key": "k" * 129, "Value": "1"}], 400),
    "a value of 256": ([{"Key": "k", "Value": "v" * 256}], 200),
    "a value of 257": ([{"Key": "k", "Value": "v" * 257}], 400),
}


@pytest.mark.parametrize("case", TAGS)
def test_limits_of_tags(target, name, case):
    tags, status = TAGS[case]
    answer = target.call(
        "CreateSecret", {"Name": name, "SecretString": "v", "Tags": tags, "ClientRequestToken": new_token()}
    )
    assert answer.status == status, answer.body
    if status == 400:
        assert target.call("DescribeSecret", {"SecretId": name}).code == "ResourceNotFoundException"
