"""AWS JSON 1.1 on the wire: bodies, headers, errors, and what is not served."""

import json
import re
import socket

import boto3
import pytest
import serving
import signing
from conftest import OPERATIONS, new_token

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_a_success_on_the_wire(target, client, name):
    client.create_secret(Name=name, SecretBinary=b"\0\1\2")
    answer = target.call("GetSecretValue", {"SecretId": name})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert UUID.fullmatch(answer.headers["x-amzn-requestid"])
    assert isinstance(answer.json["CreatedDate"], (int, float))
    assert answer.json["SecretBinary"] == "AAEC"


def test_a_refusal_on_the_wire(target, name):
    answer = target.call("GetSecretValue", {"SecretId": name})
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert UUID.fullmatch(answer.headers["x-amzn-requestid"])
    assert set(answer.json) == {"__type", "Message"}
    assert answer.json["__type"] == "ResourceNotFoundException"


def test_request_ids_differ(target):
    ids = {target.call("ListSecrets", {}).headers["x-amzn-requestid"] for _ in range(20)}
    assert len(ids) == 20


def test_boto3_sees_the_request_id(client):
    assert UUID.fullmatch(client.list_secrets()["ResponseMetadata"]["RequestId"])


@pytest.mark.parametrize("operation", ["NoSuchOperation", "getSecretValue", "GetSecretValue2", ""])
def test_an_unknown_operation(target, operation):
    answer = target.call(f"secretsmanager.{operation}", {})
    assert (answer.status, answer.code) == (400, "UnknownOperationException")


# In the service's model, not built yet: answered as unknown, with the names of what is served.
MODEL = boto3.client("secretsmanager", region_name="us-east-1").meta.service_model
NOT_BUILT = sorted(set(MODEL.operation_names) - set(OPERATIONS))


@pytest.mark.parametrize("operation", NOT_BUILT)
def test_an_operation_not_built_names_what_is_served(target, operation):
    answer = target.call(operation, {"SecretId": "x"})
    assert (answer.status, answer.code) == (400, "UnknownOperationException")
    for served in OPERATIONS:
        assert served in answer.message


def test_what_is_served_is_what_is_tested(target):
    told = target.call("NoSuchOperation", {}).message
    assert sorted(name for name in MODEL.operation_names if re.search(rf"\b{name}\b", told)) == OPERATIONS


@pytest.mark.parametrize("header", ["TrentService.Decrypt", "secretsmanager", ".GetSecretValue", "dynamodb.ListTables"])
def test_another_services_target(target, header):
    headers = signing.signed(target.endpoint, None, {}, target.keys, serving.REGION, headers={"X-Amz-Target": header})
    answer = signing.send(target.endpoint, {}, headers)
    assert (answer.status, answer.code) == (400, "UnknownOperationException")


def test_no_target_at_all(target):
    headers = signing.signed(target.endpoint, None, {}, target.keys, serving.REGION)
    answer = signing.send(target.endpoint, {}, headers)
    assert 400 <= answer.status < 500
    assert "UnknownOperation" in answer.code


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(target, method):
    answer = signing.send(target.endpoint, b"", {}, method=method)
    assert 400 <= answer.status < 500


MALFORMED = {
    "nothing": b"",
    "not JSON": b"SecretId=x",
    "cut short": b'{"SecretId":"x"',
    "an array": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "not UTF-8": b'{"SecretId":"\xff"}',
    "a lone surrogate": b'{"SecretId":"\\ud800"}',
    "trailing text": b'{"SecretId":"x"} x',
    "deep arrays": b'{"SecretId":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a number for a string": b'{"SecretId":12}',
    "an object for a string": b'{"SecretId":{"a":1}}',
    "an array for a string": b'{"SecretId":["x"]}',
    "a boolean for a string": b'{"SecretId":true}',
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_body(target, case):
    answer = target.call("GetSecretValue", MALFORMED[case])
    assert answer.status == 400, answer.body
    allowed = {"SerializationException"}
    if case in ("nothing", "null", "a lone surrogate"):
        allowed |= {"ValidationException", "InvalidParameterException", "ResourceNotFoundException"}
    assert answer.code in allowed, answer.body


WRONG_MEMBERS = [
    ("ListSecrets", {"MaxResults": "10"}),
    ("ListSecrets", {"MaxResults": 1.5}),
    ("ListSecrets", {"MaxResults": 10**30}),
    ("ListSecrets", {"IncludePlannedDeletion": "yes"}),
    ("CreateSecret", {"Name": "a", "Tags": {"k": "v"}}),
    ("CreateSecret", {"Name": "a", "Tags": ["k"]}),
    ("CreateSecret", {"Name": "a", "SecretString": 42}),
    ("CreateSecret", {"Name": "a", "SecretString": {"json": "object"}}),
    ("CreateSecret", {"Name": "a", "SecretBinary": "not base64!"}),
    ("PutSecretValue", {"SecretId": "a", "VersionStages": "AWSCURRENT"}),
]


@pytest.mark.parametrize("operation, body", WRONG_MEMBERS, ids=lambda value: str(value)[:40])
def test_a_member_of_the_wrong_type(target, operation, body):
    answer = target.call(operation, body | {"ClientRequestToken": new_token()})
    assert answer.status == 400
    assert answer.code in ("SerializationException", "ValidationException", "InvalidParameterException")


def test_a_refusal_does_not_repeat_the_value(target, name):
    """Whatever is wrong with a body, the answer must not carry a piece of it that may be a secret."""
    for body in (
        b'{"Name":"a","SecretString":"marker-5hf93" "x"}',
        b'{"Name":"a","SecretString":{"k":"marker-5hf93"}}',
        b'{"Name":"a","SecretString":["marker-5hf93"]}',
        b'{"Name":"a","SecretBinary":"marker-5hf93!"}',
        b'{"Name":"a","SecretString":"marker-5hf93',
    ):
        answer = target.call("CreateSecret", body)
        assert answer.status == 400
        assert b"5hf93" not in answer.body


WITHOUT_REQUIRED_MEMBERS = ["GetRandomPassword", "ListSecrets"]


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in WITHOUT_REQUIRED_MEMBERS])
def test_a_required_member_that_is_missing(target, operation):
    answer = target.call(operation, {"ClientRequestToken": new_token(), "SecretString": "v", "VersionStage": "A"})
    assert answer.status == 400
    assert answer.code in ("ValidationException", "InvalidParameterException")


def test_members_of_newer_clients_are_passed_over(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    assert target.call("GetSecretValue", {"SecretId": name, "SomethingOf2031": {"a": [1]}}).status == 200


def test_null_members_count_as_absent(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("GetSecretValue", {"SecretId": name, "VersionId": None, "VersionStage": None})
    assert answer.status == 200


def test_a_content_type_of_another_kind_still_names_the_operation(target):
    """SDKs differ in it; the target header decides."""
    answer = target.call("ListSecrets", {}, headers={"Content-Type": "application/x-amz-json-1.1; charset=utf-8"})
    assert answer.status == 200


def test_a_body_over_the_limit_is_refused(target):
    body = json.dumps({"Name": "a", "SecretString": "s" * 600_000, "ClientRequestToken": new_token()}).encode()
    answer = target.call("CreateSecret", body)
    assert answer.status in (400, 413)


def test_headers_over_the_limit_are_refused(target):
    connection = signing.Connection(int(target.endpoint.rsplit(":", 1)[1]))
    try:
        connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"b" * 20_000 + b"\r\n\r\n")
        try:
            status, _, _ = connection.receive()
            assert status in (400, 431)
        except (ConnectionError, socket.timeout):
            pass
    finally:
        connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"\0" * 100,
    ],
    ids=["a TLS hello", "no version", "a negative length", "two lengths", "zeros"],
)
def test_what_is_no_http_does_no_harm(target, client, data):
    connection = signing.Connection(int(target.endpoint.rsplit(":", 1)[1]))
    try:
        connection.send(data)
        connection.socket.shutdown(socket.SHUT_WR)
        try:
            status, _, _ = connection.receive()
            assert 400 <= status < 500
        except ConnectionError:
            pass
    finally:
        connection.close()
    client.list_secrets()


@pytest.mark.dev
def test_reset_empties_a_throw_away_server(target, region):
    client = target.client(region)
    client.create_secret(Name="a", SecretString="v")
    for headers in ({}, {"X-Coffer-Reset": "no"}, {"X-Coffer-Reset": "yes", "Host": "coffer.example:80"}):
        answer = signing.send(target.endpoint, b"", headers, path="/_coffer/reset")
        assert 400 <= answer.status < 500, headers
        assert len(client.list_secrets()["SecretList"]) == 1
    answer = signing.send(target.endpoint, b"", {"X-Coffer-Reset": "yes"}, path="/_coffer/reset")
    assert 200 <= answer.status < 300
    assert client.list_secrets()["SecretList"] == []


@pytest.mark.store
def test_a_store_cannot_be_reset(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    answer = signing.send(target.endpoint, b"", {"X-Coffer-Reset": "yes"}, path="/_coffer/reset")
    assert 400 <= answer.status < 500
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"
