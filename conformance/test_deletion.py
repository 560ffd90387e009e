"""DeleteSecret and RestoreSecret: the window, what is refused in it, and deleting at once."""

import datetime

import pytest
from conftest import (
    INVALID_NAME,
    MARKED_FOR_DELETION,
    SCHEDULED_FOR_DELETION,
    SECRET_NOT_FOUND,
    new_token,
    refused,
)

ALREADY_SCHEDULED = "You can't perform this operation on the secret because it was already scheduled for deletion."
WINDOW = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
WINDOW_AND_FORCE = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."


def days_from_now(moment):
    return (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86_400


@pytest.mark.parametrize(
    "parameters, days", [({}, 30), ({"RecoveryWindowInDays": 7}, 7), ({"RecoveryWindowInDays": 30}, 30)]
)
def test_the_window(client, name, parameters, days):
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    deleted = client.delete_secret(SecretId=name, **parameters)
    assert set(deleted) == {"ARN", "Name", "DeletionDate", "ResponseMetadata"}
    assert (deleted["ARN"], deleted["Name"]) == (arn, name)
    assert abs(days_from_now(deleted["DeletionDate"]) - days) < 0.1
    described = client.describe_secret(SecretId=name)
    assert described["DeletedDate"] == deleted["DeletionDate"]


@pytest.mark.parametrize("days", [-1, 0, 6, 31, 1_000_000_000_000])
def test_a_window_outside_7_to_30_days(client, name, days):
    client.create_secret(Name=name, SecretString="v")
    with refused("InvalidParameterException", WINDOW):
        client.delete_secret(SecretId=name, RecoveryWindowInDays=days)
    assert "DeletedDate" not in client.describe_secret(SecretId=name)


def test_a_window_and_force_exclude_each_other(client, name):
    client.create_secret(Name=name, SecretString="v")
    with refused("InvalidParameterException", WINDOW_AND_FORCE):
        client.delete_secret(SecretId=name, RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


def test_a_marked_secret_gives_no_value_and_takes_no_change(client, name):
    version = client.create_secret(Name=name, SecretString="v")["VersionId"]
    client.delete_secret(SecretId=name)
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.get_secret_value(SecretId=name)
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.get_secret_value(SecretId=name, VersionId=version)
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.put_secret_value(SecretId=name, SecretString="w")
    with refused("InvalidRequestException", MARKED_FOR_DELETION):
        client.update_secret_version_stage(SecretId=name, VersionStage="BLUE", MoveToVersionId=version)
    described = client.describe_secret(SecretId=name)
    assert described["VersionIdsToStages"] == {version: ["AWSCURRENT"]}


def test_the_name_of_a_marked_secret_stays_taken(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name)
    with refused("InvalidRequestException", SCHEDULED_FOR_DELETION):
        client.create_secret(Name=name, SecretString="w")


def test_marking_twice(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    with refused("InvalidRequestException", ALREADY_SCHEDULED):
        client.delete_secret(SecretId=name)


def test_restoring_brings_everything_back(client, name):
    first = client.create_secret(Name=name, SecretString="1")
    client.put_secret_value(SecretId=name, SecretString="2")
    before = client.describe_secret(SecretId=name)
    client.delete_secret(SecretId=name)
    restored = client.restore_secret(SecretId=name)
    assert set(restored) == {"ARN", "Name", "ResponseMetadata"}
    assert restored["ARN"] == first["ARN"]
    after = client.describe_secret(SecretId=name)
    assert "DeletedDate" not in after
    assert after["VersionIdsToStages"] == before["VersionIdsToStages"]
    assert client.get_secret_value(SecretId=name)["SecretString"] == "2"
    assert client.get_secret_value(SecretId=name, VersionId=first["VersionId"])["SecretString"] == "1"


def test_restoring_what_is_not_marked_changes_nothing(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.restore_secret(SecretId=name)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


def test_what_is_not_there(client, name):
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.delete_secret(SecretId=name)
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.restore_secret(SecretId=name)
    with refused("ValidationException", INVALID_NAME):
        client.delete_secret(SecretId="Inv Name")
    with refused("ValidationException", INVALID_NAME):
        client.restore_secret(SecretId="Inv Name")


def test_deleting_at_once(client, name):
    arn = client.create_secret(Name=name, SecretString="v")["ARN"]
    deleted = client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert (deleted["ARN"], deleted["Name"]) == (arn, name)
    assert abs(days_from_now(deleted["DeletionDate"])) < 0.1
    for secret_id in (name, arn):
        with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
            client.get_secret_value(SecretId=secret_id)
        with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
            client.describe_secret(SecretId=secret_id)
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.restore_secret(SecretId=name)


def test_deleting_a_marked_secret_at_once(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name)
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.describe_secret(SecretId=name)


def test_deleting_at_once_what_is_not_there_succeeds(client, name):
    deleted = client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert deleted["Name"] == name
    assert abs(days_from_now(deleted["DeletionDate"])) < 0.1


def test_a_name_used_again_is_another_secret(client, name):
    token = new_token()
    old = client.create_secret(Name=name, SecretString="old", ClientRequestToken=token)
    client.put_secret_value(SecretId=name, SecretString="older")
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    new = client.create_secret(Name=name, SecretString="new", ClientRequestToken=token)
    assert new["ARN"] != old["ARN"]
    assert client.get_secret_value(SecretId=name)["SecretString"] == "new"
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]) == 1
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.get_secret_value(SecretId=old["ARN"])


def test_a_secret_of_many_versions_goes_at_once(client, name):
    client.create_secret(Name=name, SecretString="0")
    for n in range(120):
        client.put_secret_value(SecretId=name, SecretString=str(n))
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    client.create_secret(Name=name)
    assert client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"] == []
