"""BatchGetSecretValue: several values at once, what is told of those that can't be read, and the record of each.

No answer of AWS's to this operation was found recorded, so what is here is the service model, AWS's documentation, and
where these are silent what coffer chose: values in the order in which they were asked for, a secret named twice told twice.
"""

import json

import pytest
import serving
from conftest import MARKED_FOR_DELETION, SECRET_NOT_FOUND, new_token, refused, value_not_found

EITHER_OR = "Either 'SecretIdList' or 'Filters' must be provided, but not both."
NOT_WITHOUT_FILTERS = "'Filters' not specified. 'Filters' must also be specified when '{}' is provided."


def values(answer):
    return {entry["Name"]: entry.get("SecretString", entry.get("SecretBinary")) for entry in answer["SecretValues"]}


def error(secret_id, code, message):
    return {"SecretId": secret_id, "ErrorCode": code, "Message": message}


def test_an_entry_is_what_get_secret_value_answers(client, name):
    client.create_secret(Name=name, SecretString="1")
    client.put_secret_value(SecretId=name, SecretBinary=b"\x00\xff", VersionStages=["AWSCURRENT", "BLUE"])
    answer = client.batch_get_secret_value(SecretIdList=[name])
    alone = client.get_secret_value(SecretId=name)
    del alone["ResponseMetadata"]
    assert answer["SecretValues"] == [alone]
    assert answer["Errors"] == []
    assert "NextToken" not in answer


def test_secrets_are_named_by_name_by_arn_and_by_a_part_of_it(target, client, name):
    arn = client.create_secret(Name=name, SecretString="1")["ARN"]
    other = client.create_secret(Name=name + "/other", SecretBinary=b"2")["ARN"]
    answer = client.batch_get_secret_value(SecretIdList=[other, name, arn, target.arn(name)])
    assert [entry["ARN"] for entry in answer["SecretValues"]] == [other, arn, arn, arn]
    assert values(answer) == {name: "1", name + "/other": b"2"}


def test_what_cannot_be_read_is_told_beside_what_can(client, name):
    client.create_secret(Name=name, SecretString="a value of its own")
    client.create_secret(Name=name + "/deleted", SecretString="a value of its own")
    client.delete_secret(SecretId=name + "/deleted")
    client.create_secret(Name=name + "/empty")
    other_suffix = client.describe_secret(SecretId=name)["ARN"][:-6] + "AbCdEf"
    asked = [name + "/none", name + "/deleted", name, name + "/empty", other_suffix, name + "/none"]
    answer = client.batch_get_secret_value(SecretIdList=asked)
    assert values(answer) == {name: "a value of its own"}
    assert answer["Errors"] == [
        error(name + "/none", "ResourceNotFoundException", SECRET_NOT_FOUND),
        error(name + "/deleted", "InvalidRequestException", MARKED_FOR_DELETION),
        error(name + "/empty", "ResourceNotFoundException", value_not_found("staging label: AWSCURRENT")),
        error(other_suffix, "ResourceNotFoundException", SECRET_NOT_FOUND),
        error(name + "/none", "ResourceNotFoundException", SECRET_NOT_FOUND),
    ]
    assert "a value of its own" not in json.dumps(answer["Errors"])


def test_one_and_twenty_and_no_more(target, client, name):
    names = [f"{name}/{n}" for n in range(20)]
    for n in names:
        client.create_secret(Name=n, SecretString=n)
    assert values(client.batch_get_secret_value(SecretIdList=names)) == {n: n for n in names}
    for ids in ([], [*names, name]):
        answer = target.call("BatchGetSecretValue", {"SecretIdList": ids})
        assert (answer.status, answer.code) == (400, "ValidationException")
        assert "'secretIdList'" in answer.message


def test_twenty_of_the_largest_values(client, name):
    names = [f"{name}/{n}" for n in range(20)]
    for n in names:
        # Six bytes of JSON for each byte of the value.
        client.create_secret(Name=n, SecretString="\x01" * 65_536)
    answer = client.batch_get_secret_value(SecretIdList=names)
    assert set(values(answer).values()) == {"\x01" * 65_536}
    assert len(answer["SecretValues"]) == 20


def test_filters_are_those_of_list_secrets(target, region):
    client = target.client(region)
    for name in ("prod/a", "prod/b", "test/a"):
        client.create_secret(Name=name, SecretString=name, Tags=[{"Key": "team", "Value": name[-1]}])
    client.create_secret(Name="prod/gone", SecretString="v")
    client.delete_secret(SecretId="prod/gone")

    def found(*filters):
        answer = client.batch_get_secret_value(Filters=[{"Key": key, "Values": values} for key, values in filters])
        assert answer["Errors"] == []
        return [entry["SecretString"] for entry in answer["SecretValues"]]

    assert found(("name", ["prod/"])) == ["prod/a", "prod/b"]
    assert found(("name", ["!prod/"])) == ["test/a"]
    assert found(("name", ["prod/"]), ("tag-value", ["a"])) == ["prod/a"]
    assert found(("name", ["none"])) == []
    assert found() == ["prod/a", "prod/b", "test/a"]


def test_pages_of_what_filters_find(target, region):
    client = target.client(region)
    for n in range(23):
        client.create_secret(Name=f"s/{n:02}", SecretString=str(n))
    client.create_secret(Name="s/empty")
    filters = [{"Key": "name", "Values": ["s/"]}]

    def pages(**more):
        pages, token = [], {}
        while True:
            page = client.batch_get_secret_value(Filters=filters, **more, **token)
            pages.append([entry["SecretString"] for entry in page["SecretValues"]] + [e["ErrorCode"] for e in page["Errors"]])
            if "NextToken" not in page:
                return pages
            token = {"NextToken": page["NextToken"]}

    expected = [str(n) for n in range(23)] + ["ResourceNotFoundException"]
    for more, lengths in (({}, [20, 4]), ({"MaxResults": 20}, [20, 4]), ({"MaxResults": 9}, [9, 9, 6])):
        got = pages(**more)
        assert [len(page) for page in got if page] == lengths
        assert sum(got, []) == expected


def test_a_cursor_is_that_of_its_filters(target, region):
    client = target.client(region)
    for name in "ab":
        client.create_secret(Name=name, SecretString="v")
    filters = [{"Key": "name", "Values": ["a", "b"]}]
    cursor = client.batch_get_secret_value(Filters=filters, MaxResults=1)["NextToken"]
    for more in ({"Filters": filters, "NextToken": "none"}, {"Filters": [{"Key": "name", "Values": ["b"]}], "NextToken": cursor}):
        with refused("InvalidNextTokenException"):
            client.batch_get_secret_value(**more)


@pytest.mark.parametrize(
    "body, message",
    [
        ({}, EITHER_OR),
        ({"SecretIdList": ["a"], "Filters": [{"Key": "name", "Values": ["a"]}]}, EITHER_OR),
        ({"SecretIdList": ["a"], "MaxResults": 1}, NOT_WITHOUT_FILTERS.format("MaxResults")),
        ({"SecretIdList": ["a"], "NextToken": "x"}, NOT_WITHOUT_FILTERS.format("NextToken")),
    ],
    ids=["neither", "both", "MaxResults without filters", "NextToken without filters"],
)
def test_a_list_or_filters(target, body, message):
    answer = target.call("BatchGetSecretValue", body)
    assert (answer.status, answer.code, answer.message) == (400, "InvalidParameterException", message)


@pytest.mark.parametrize("most", [0, 21])
def test_a_page_has_one_to_twenty_values(target, most):
    answer = target.call("BatchGetSecretValue", {"Filters": [{"Key": "name", "Values": ["a"]}], "MaxResults": most})
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert "'maxResults'" in answer.message


def records_of(target, request_id):
    """The records of one request, in no promised order."""
    records = [record for record in target.installation.audit_records() if record.get("requestID") == request_id]
    return sorted(records, key=lambda record: (record["eventName"], str(record["requestParameters"])))


@pytest.mark.store
def test_each_value_has_a_record_of_its_own(target, client, name):
    """AWS logs GetSecretValue for each secret. That the request for the batch, and the listing that filters take, are
    recorded too is coffer's."""
    client.create_secret(Name=name + "/a", SecretString="a value of its own")
    client.create_secret(Name=name + "/b", SecretString="a value of its own")
    ids = [name + "/a", name + "/b", name + "/none"]
    answer = client.batch_get_secret_value(SecretIdList=ids)
    records = records_of(target, answer["ResponseMetadata"]["RequestId"])
    assert [(record["eventName"], record.get("errorCode")) for record in records] == [
        ("BatchGetSecretValue", None),
        ("GetSecretValue", None),
        ("GetSecretValue", None),
        ("GetSecretValue", "ResourceNotFoundException"),
    ]
    assert records[0]["requestParameters"] == {"secretIdList": ids}
    assert [record["requestParameters"] for record in records[1:]] == [{"secretId": secret_id} for secret_id in ids]
    assert len({record["eventID"] for record in records}) == 4
    assert all(record["readOnly"] and record["responseElements"] is None for record in records)
    assert "a value of its own" not in json.dumps(records)

    answer = client.batch_get_secret_value(Filters=[{"Key": "name", "Values": [name]}])
    records = records_of(target, answer["ResponseMetadata"]["RequestId"])
    expected = ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue", "ListSecrets"]
    assert [record["eventName"] for record in records] == expected


@pytest.mark.dev
def test_a_denied_batch_reads_and_tells_nothing(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    body = {"SecretIdList": [name, name + "/none"]}
    answer = target.call("BatchGetSecretValue", body, keys=serving.NOBODY_KEYS)
    assert (answer.status, answer.code) == (400, "AccessDeniedException")
    assert name not in answer.message


def test_a_value_just_written_is_read(client, name):
    client.create_secret(Name=name, SecretString="0")
    for n in range(1, 20):
        client.put_secret_value(SecretId=name, SecretString=str(n), ClientRequestToken=new_token())
        assert values(client.batch_get_secret_value(SecretIdList=[name])) == {name: str(n)}
