"""GetSecretValue and PutSecretValue: what goes in comes out, under the version and label that was asked for."""

import datetime
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import (
    INVALID_NAME,
    NO_TOKEN,
    SECRET_NOT_FOUND,
    STAGE_NOT_ON_VERSION,
    new_token,
    refused,
    token_in_use,
    value_not_found,
)

STRINGS = {
    "ASCII": "hunter2",
    "JSON": json.dumps({"api_key": "k", "bearer_token": "AAAA%2BBBB%2FCCC%3D"}),
    "escapes": 'quote " backslash \\ slash / tab \t newline \n return \r',
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f",
    "NUL": "a\0b",
    "Latin-1": "naïve café",
    "beyond the basic plane": "🗝️𝄞\U0010ffff",
    "line separators": "a\u2028b\u2029c\ufeffd",
    "one space": " ",
    "a number": "42",
    "null": "null",
}


def test_a_read_answers_these_members_and_no_more(client, name):
    made = client.create_secret(Name=name, SecretString="v")
    read = client.get_secret_value(SecretId=name)
    created = read.pop("CreatedDate")
    read.pop("ResponseMetadata")
    assert read == {
        "ARN": made["ARN"],
        "Name": name,
        "VersionId": made["VersionId"],
        "SecretString": "v",
        "VersionStages": ["AWSCURRENT"],
    }
    assert abs(datetime.datetime.now(datetime.timezone.utc) - created) < datetime.timedelta(minutes=2)


@pytest.mark.parametrize("case", STRINGS)
def test_strings_come_back_as_they_went_in(client, name, case):
    client.create_secret(Name=name, SecretString=STRINGS[case])
    assert client.get_secret_value(SecretId=name)["SecretString"] == STRINGS[case]
    client.put_secret_value(SecretId=name, SecretString=STRINGS[case] + "!")
    assert client.get_secret_value(SecretId=name)["SecretString"] == STRINGS[case] + "!"


@pytest.mark.parametrize("value", [bytes(range(256)), b"\0", b"\xff\xfe", b"text"], ids=repr)
def test_bytes_come_back_as_they_went_in(client, name, value):
    client.create_secret(Name=name, SecretBinary=value)
    read = client.get_secret_value(SecretId=name)
    assert read["SecretBinary"] == value
    assert "SecretString" not in read


def test_a_secret_may_change_its_kind(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.put_secret_value(SecretId=name, SecretBinary=b"\0")
    assert "SecretString" not in client.get_secret_value(SecretId=name)
    assert client.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "v"


SIZES = {
    "a string of 65,536 bytes": ({"SecretString": "s" * 65_536}, True),
    "a string of 65,537 bytes": ({"SecretString": "s" * 65_537}, False),
    "a string of 32,768 two-byte characters": ({"SecretString": "é" * 32_768}, True),
    "a string of 65,536 two-byte characters": ({"SecretString": "é" * 65_536}, False),
    "a string of 65,536 characters that JSON escapes": ({"SecretString": "\1" * 65_536}, True),
    "binary of 65,536 bytes": ({"SecretBinary": b"\0" * 65_536}, True),
    "binary of 65,537 bytes": ({"SecretBinary": b"\0" * 65_537}, False),
}


# A limit of the service's model, which AWS answers as a failed constraint.
TOO_LARGE = re.compile(r"(?s)1 validation error detected: .*65536.*")


@pytest.mark.parametrize("case", SIZES)
def test_a_value_has_at_most_65536_bytes(client, name, case):
    value, fits = SIZES[case]
    client.create_secret(Name=name, SecretString="before")
    if fits:
        client.put_secret_value(SecretId=name, **value)
        read = client.get_secret_value(SecretId=name)
        assert {member: read.get(member) for member in value} == value
    else:
        with refused("ValidationException", TOO_LARGE):
            client.put_secret_value(SecretId=name, **value)
        with refused("ValidationException", TOO_LARGE):
            client.create_secret(Name=name + "/2", **value)
        assert client.get_secret_value(SecretId=name)["SecretString"] == "before"


@pytest.mark.parametrize("operation", ["CreateSecret", "PutSecretValue"])
@pytest.mark.parametrize("value", [{"SecretString": ""}, {"SecretBinary": ""}], ids=lambda value: next(iter(value)))
def test_an_empty_value_is_none(target, client, name, operation, value):
    if operation == "PutSecretValue":
        client.create_secret(Name=name, SecretString="v")
    which = {"Name": name} if operation == "CreateSecret" else {"SecretId": name}
    answer = target.call(operation, which | value | {"ClientRequestToken": new_token()})
    assert answer.status == 400
    assert answer.code in ("ValidationException", "InvalidParameterException", "InvalidRequestException")


def test_a_put_without_a_value(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("PutSecretValue", {"SecretId": name, "ClientRequestToken": new_token()})
    assert answer.status == 400
    assert answer.code in ("InvalidRequestException", "InvalidParameterException")


def test_a_put_with_both_values(client, name):
    client.create_secret(Name=name, SecretString="v")
    with refused("InvalidParameterException"):
        client.put_secret_value(SecretId=name, SecretString="v", SecretBinary=b"v")


def test_a_put_answers_arn_name_version_and_its_labels(client, name):
    made = client.create_secret(Name=name, SecretString="1")
    token = new_token()
    put = client.put_secret_value(SecretId=name, SecretString="2", ClientRequestToken=token)
    put.pop("ResponseMetadata")
    assert put == {"ARN": made["ARN"], "Name": name, "VersionId": token, "VersionStages": ["AWSCURRENT"]}


def test_the_first_put_into_an_empty_secret(client, name):
    client.create_secret(Name=name)
    put = client.put_secret_value(SecretId=name, SecretString="v")
    assert put["VersionStages"] == ["AWSCURRENT"]
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


def test_a_put_without_a_token(target, client, name):
    client.create_secret(Name=name, SecretString="1")
    answer = target.call("PutSecretValue", {"SecretId": name, "SecretString": "2"})
    assert (answer.status, answer.code, answer.message) == (400, "InvalidRequestException", NO_TOKEN)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "1"


def test_the_same_put_again_changes_nothing(client, name):
    client.create_secret(Name=name, SecretString="1")
    token = new_token()
    client.put_secret_value(SecretId=name, SecretString="2", ClientRequestToken=token)
    client.put_secret_value(SecretId=name, SecretString="3")
    again = client.put_secret_value(SecretId=name, SecretString="2", ClientRequestToken=token)
    assert again["VersionId"] == token
    assert client.get_secret_value(SecretId=name)["SecretString"] == "3", "a repeated put moves no label"
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]) == 3


def test_the_same_token_with_another_value(client, name):
    arn = client.create_secret(Name=name, SecretString="1")["ARN"]
    token = new_token()
    client.put_secret_value(SecretId=name, SecretString="2", ClientRequestToken=token)
    with refused("ResourceExistsException", token_in_use(token, arn)):
        client.put_secret_value(SecretId=name, SecretString="3", ClientRequestToken=token)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "2"


def test_the_token_of_creation_is_in_use_too(client, name):
    token = new_token()
    arn = client.create_secret(Name=name, SecretString="1", ClientRequestToken=token)["ARN"]
    with refused("ResourceExistsException", token_in_use(token, arn)):
        client.put_secret_value(SecretId=name, SecretString="2", ClientRequestToken=token)


def test_a_token_is_only_taken_within_its_secret(client, name):
    token = new_token()
    client.create_secret(Name=name, SecretString="1", ClientRequestToken=token)
    client.create_secret(Name=name + "/2", SecretString="2", ClientRequestToken=token)
    assert client.get_secret_value(SecretId=name + "/2", VersionId=token)["SecretString"] == "2"


def test_one_token_from_many_at_once_makes_one_version(target, client, name):
    client.create_secret(Name=name, SecretString="1")
    body = {"SecretId": name, "SecretString": "2", "ClientRequestToken": new_token()}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: target.call("PutSecretValue", body).status, range(16)))
    assert answers == [200] * 16
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]) == 2


def test_puts_from_many_at_once_are_all_kept(target, client, name):
    client.create_secret(Name=name, SecretString="0")
    tokens = {new_token(): str(n) for n in range(1, 33)}

    def put(item):
        token, value = item
        return target.call("PutSecretValue", {"SecretId": name, "SecretString": value, "ClientRequestToken": token})

    with ThreadPoolExecutor(8) as pool:
        assert [answer.status for answer in pool.map(put, tokens.items())] == [200] * 32
    for token, value in tokens.items():
        assert client.get_secret_value(SecretId=name, VersionId=token)["SecretString"] == value
    stages = client.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert sorted(sum(stages.values(), [])) == ["AWSCURRENT", "AWSPREVIOUS"]


def test_reading_by_version_and_by_label(client, name):
    first = client.create_secret(Name=name, SecretString="1")["VersionId"]
    second = client.put_secret_value(SecretId=name, SecretString="2")["VersionId"]
    read = client.get_secret_value
    assert read(SecretId=name)["SecretString"] == "2"
    assert read(SecretId=name, VersionId=first)["SecretString"] == "1"
    assert read(SecretId=name, VersionId=second)["VersionStages"] == ["AWSCURRENT"]
    assert read(SecretId=name, VersionStage="AWSPREVIOUS")["VersionId"] == first
    assert read(SecretId=name, VersionId=second, VersionStage="AWSCURRENT")["SecretString"] == "2"


def test_a_version_without_labels_can_still_be_read_by_id(client, name):
    first = client.create_secret(Name=name, SecretString="1")["VersionId"]
    client.put_secret_value(SecretId=name, SecretString="2")
    client.put_secret_value(SecretId=name, SecretString="3")
    read = client.get_secret_value(SecretId=name, VersionId=first)
    assert read["SecretString"] == "1"
    assert "VersionStages" not in read


def test_what_cannot_be_found(client, name):
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.get_secret_value(SecretId=name)
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.put_secret_value(SecretId=name, SecretString="v")
    client.create_secret(Name=name, SecretString="v")
    with refused("ResourceNotFoundException", value_not_found("staging label: AWSPREVIOUS")):
        client.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")
    with refused("ResourceNotFoundException", value_not_found("staging label: AWSPENDING")):
        client.get_secret_value(SecretId=name, VersionStage="AWSPENDING")
    version = new_token()
    with refused("ResourceNotFoundException", value_not_found(f"VersionId: {version}")):
        client.get_secret_value(SecretId=name, VersionId=version)


def test_a_version_and_a_label_that_do_not_belong_together(client, name):
    first = client.create_secret(Name=name, SecretString="1")["VersionId"]
    client.put_secret_value(SecretId=name, SecretString="2")
    with refused("InvalidRequestException", STAGE_NOT_ON_VERSION):
        client.get_secret_value(SecretId=name, VersionId=first, VersionStage="AWSCURRENT")


@pytest.mark.parametrize("bad", ["Inv Name", " Inv*Name? "])
def test_an_id_that_is_no_name(client, bad):
    with refused("ValidationException", INVALID_NAME):
        client.get_secret_value(SecretId=bad)
    with refused("ValidationException", INVALID_NAME):
        client.put_secret_value(SecretId=bad, SecretString="v")
