"""Where moto 5.2.5, the emulator most tests are written against, answers otherwise than AWS does.

A test that passes on moto and fails on AWS (or the other way round) usually meets one of these. Only those are
here that concern operations coffer serves; several are spelled out further in the other files.
"""

import datetime

import pytest
from conftest import MARKED_FOR_DELETION, NO_TOKEN, SCHEDULED_FOR_DELETION, new_token, refused


def test_not_found_is_status_400_and_json(target, name):
    for operation in ("GetSecretValue", "DescribeSecret", "ListSecretVersionIds"):
        answer = target.call(operation, {"SecretId": name})
        assert (answer.status, answer.code) == (400, "ResourceNotFoundException")
        assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"


def test_listed_versions_carry_the_arn_and_when_they_were_made(client, name):
    arn = client.create_secret(Name=name, SecretString="1")["ARN"]
    first = client.list_secret_version_ids(SecretId=name)
    assert first["ARN"] == arn
    # moto tells a date of access of a version that nobody read.
    assert "LastAccessedDate" not in first["Versions"][0]
    again = client.list_secret_version_ids(SecretId=name)
    assert again["Versions"][0]["CreatedDate"] == first["Versions"][0]["CreatedDate"]
    assert "NextToken" not in again


def test_include_deprecated_and_paging_of_versions_are_honoured(client, name):
    client.create_secret(Name=name, SecretString="1")
    for value in "23":
        client.put_secret_value(SecretId=name, SecretString=value)
    assert len(client.list_secret_version_ids(SecretId=name)["Versions"]) == 2
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True, MaxResults=1)["Versions"]) == 1
    versions = client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    # moto lists no labels as an empty list, and tells no key.
    assert ["VersionStages" in version for version in versions] == [False, True, True]
    assert all(version["KmsKeyIds"] == ["DefaultEncryptionKey"] for version in versions)


def test_versions_younger_than_a_day_are_all_kept(client, name):
    """However many there are. That older ones go beyond 100 takes a clock that can be set: crates/coffer-core/tests/versions_kept.rs."""
    client.create_secret(Name=name, SecretString="0")
    for n in range(130):
        client.put_secret_value(SecretId=name, SecretString=str(n))
    count, more = 0, {}
    while True:
        page = client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True, MaxResults=100, **more)
        count += len(page["Versions"])
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert count == 131


def test_creating_over_a_scheduled_deletion(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name)
    with refused("InvalidRequestException", SCHEDULED_FOR_DELETION):
        client.create_secret(Name=name, SecretString="v")


@pytest.mark.parametrize(
    "body",
    [
        {"Name": "x", "SecretString": "v"},
        {"Name": "bad name", "SecretString": "v", "ClientRequestToken": "t" * 36},
        {"Name": "x", "SecretString": "v" * 65_537, "ClientRequestToken": "t" * 36},
        {"Name": "x", "SecretString": "v", "Description": "d" * 2049, "ClientRequestToken": "t" * 36},
        {"Name": "x", "SecretString": "v", "Tags": [{"Key": "k" * 129, "Value": ""}], "ClientRequestToken": "t" * 36},
    ],
    ids=["no token", "a bad name", "too large a value", "too long a description", "too long a tag"],
)
def test_limits_are_checked(target, region, body):
    assert target.call("CreateSecret", body, region=region).status == 400
    assert target.client(region).list_secrets()["SecretList"] == []


@pytest.mark.parametrize(
    "body, code",
    [
        ({"SecretString": "w"}, "InvalidRequestException"),
        ({"SecretString": "w" * 65_537, "ClientRequestToken": "t" * 36}, "ValidationException"),
        ({"SecretBinary": "no base64!", "ClientRequestToken": "t" * 36}, "SerializationException"),
        ({"SecretString": "w", "VersionStages": ["s" * 257], "ClientRequestToken": "t" * 36}, "ValidationException"),
    ],
    ids=["no token", "too large a value", "a binary that is none", "too long a label"],
)
def test_limits_are_checked_of_later_versions_too(target, client, name, body, code):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("PutSecretValue", {"SecretId": name} | body)
    assert (answer.status, answer.code) == (400, code)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


def test_a_key_that_is_not_there_is_refused(client, name):
    """moto takes any, and encrypts nothing."""
    with refused("EncryptionFailure"):
        client.create_secret(Name=name, SecretString="v", KmsKeyId="alias/none")
    with refused("ResourceNotFoundException"):
        client.describe_secret(SecretId=name)


@pytest.mark.store
def test_reads_are_recorded(target, client, name):
    """In CloudTrail's shape; moto keeps no record."""
    client.create_secret(Name=name, SecretString="v")
    request_id = client.get_secret_value(SecretId=name)["ResponseMetadata"]["RequestId"]
    (record,) = [record for record in target.installation.audit_records() if record.get("requestID") == request_id]
    assert (record["eventSource"], record["eventName"]) == ("secretsmanager.amazonaws.com", "GetSecretValue")
    assert record["requestParameters"] == {"secretId": name} and record["responseElements"] is None


def test_a_label_leaves_the_version_it_was_on(client, name):
    client.create_secret(Name=name, SecretString="1")
    client.put_secret_value(SecretId=name, SecretString="2", VersionStages=["A", "B"])
    client.put_secret_value(SecretId=name, SecretString="3", VersionStages=["B"])
    stages = client.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert sorted(sum(stages.values(), [])) == ["A", "AWSCURRENT", "B"]


def test_removal_from_another_label_must_be_named_too(client, name):
    """moto asks for RemoveFromVersionId only for AWSCURRENT, and otherwise lets a label sit twice."""
    first = client.create_secret(Name=name, SecretString="1")["VersionId"]
    client.put_secret_value(SecretId=name, SecretString="2", VersionStages=["BLUE"])
    with refused("InvalidParameterException"):
        client.update_secret_version_stage(SecretId=name, VersionStage="BLUE", MoveToVersionId=first)


def test_listing_is_sorted_as_asked(target, region):
    client = target.client(region)
    for name in "cab":
        client.create_secret(Name=name)
    assert [entry["Name"] for entry in client.list_secrets(SortOrder="desc")["SecretList"]] == ["b", "a", "c"]
    assert [entry["Name"] for entry in client.list_secrets(SortBy="name")["SecretList"]] == ["a", "b", "c"]
    assert [entry["Name"] for entry in client.list_secrets(SortBy="name", SortOrder="desc")["SecretList"]] == [
        "c",
        "b",
        "a",
    ]


def test_an_arn_ends_in_letters_or_digits_and_is_new_each_time(target, region):
    client = target.client(region)
    suffixes = set()
    for _ in range(8):
        arn = client.create_secret(Name="again", ClientRequestToken=new_token())["ARN"]
        client.delete_secret(SecretId="again", ForceDeleteWithoutRecovery=True)
        suffixes.add(arn.rsplit("-", 1)[1])
    assert len(suffixes) == 8
    assert all(len(suffix) == 6 and suffix.isalnum() for suffix in suffixes)


def test_an_arn_with_a_colon_in_no_name_is_not_cut_at_its_last_colon(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("GetSecretValue", {"SecretId": f"arn:aws:s3:us-east-1:{target.account}:secret:{name}"})
    assert answer.status == 400


def test_tags_of_a_secret_marked_for_deletion_stay_as_they_are(client, name):
    """moto changes them."""
    client.create_secret(Name=name, SecretString="v", Tags=[{"Key": "a", "Value": "1"}])
    client.delete_secret(SecretId=name)
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.tag_resource(SecretId=name, Tags=[{"Key": "b", "Value": "2"}])
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.untag_resource(SecretId=name, TagKeys=["a"])
    assert client.describe_secret(SecretId=name)["Tags"] == [{"Key": "a", "Value": "1"}]


def test_a_password_of_one_character_and_one_too_long(target, client):
    """moto asks for four characters whatever they are, and answers too many with a code of its own."""
    assert len(client.get_random_password(PasswordLength=1, RequireEachIncludedType=False)["RandomPassword"]) == 1
    assert target.call("GetRandomPassword", {"PasswordLength": 4097}).code == "ValidationException"


def test_an_update_without_a_token_is_refused(target, client, name):
    """moto makes a version with an id of its own."""
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("UpdateSecret", {"SecretId": name, "SecretString": "w"})
    assert (answer.status, answer.code, answer.message) == (400, "InvalidRequestException", NO_TOKEN)


def test_a_date_of_access_is_told_once_something_was_read(target, region):
    """A date without a time, of the secret and of the version that was read; moto tells none of a secret, and now of a version."""
    client = target.client(region)
    for name in ("read", "unread"):
        client.create_secret(Name=name, SecretString="1")
    client.put_secret_value(SecretId="read", SecretString="2")
    assert "LastAccessedDate" not in client.describe_secret(SecretId="read")
    earliest = datetime.datetime.now(datetime.timezone.utc).date()
    client.get_secret_value(SecretId="read")
    latest = datetime.datetime.now(datetime.timezone.utc).date()

    def is_today(entry):
        read = entry["LastAccessedDate"].astimezone(datetime.timezone.utc)
        return earliest <= read.date() <= latest and read.time() == datetime.time(0)

    assert is_today(client.describe_secret(SecretId="read"))
    listed = {entry["Name"]: entry for entry in client.list_secrets()["SecretList"]}
    assert is_today(listed["read"]) and "LastAccessedDate" not in listed["unread"]
    versions = client.list_secret_version_ids(SecretId="read")["Versions"]
    assert ["LastAccessedDate" in entry for entry in versions] == [False, True]
    assert is_today(versions[1])
    assert "LastAccessedDate" not in client.describe_secret(SecretId="unread")
    by_read = client.list_secrets(SortBy="last-accessed-date", SortOrder="desc")["SecretList"]
    assert [entry["Name"] for entry in by_read] == ["read", "unread"]
