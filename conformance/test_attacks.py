"""Requests no SDK would send, byte by byte over a socket: what the HTTP library and the door make of them together.

Forged and stripped signatures are tried against the door itself in crates/coffer-wire-aws/tests/attacks.rs; here stands what only
shows on the wire.
"""

import http.client
import re
import socket

import pytest
import serving
import signing
from access import allow, client, new_user, policy, refused


@pytest.fixture
def signer(target):
    """A signer for whoever may do everything."""
    host = target.endpoint.removeprefix("http://")
    return signing.Signer(host, target.keys, serving.REGION)


def port(target):
    return int(target.endpoint.rsplit(":", 1)[1])


def raw(target, data):
    """Sends bytes, and reads until the server hangs up or falls silent: every status line in what came."""
    with socket.create_connection(("127.0.0.1", port(target)), timeout=2) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            pass
        except ConnectionError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)], received


def change(request, old, new):
    assert old in request
    return request.replace(old, new, 1)


def test_the_request_itself_is_good(target, signer):
    statuses, answer = raw(target, signer.request("ListSecrets", {}))
    assert statuses == [200], answer


@pytest.mark.parametrize(
    ("line", "doubled"),
    [
        (b"X-Amz-Target: secretsmanager.ListSecrets\r\n", b"X-Amz-Target: secretsmanager.DeleteSecret\r\n"),
        (b"Host: ", b"Host: elsewhere\r\n"),
        (b"X-Amz-Date: ", b"X-Amz-Date: 20200101T000000Z\r\n"),
        (b"Authorization: ", b"Authorization: AWS4-HMAC-SHA256 Credential=x\r\n"),
        (b"Content-Type: ", b"Content-Type: application/x-www-form-urlencoded\r\n"),
        (b"X-Amz-Target: ", b"x-amz-security-token: x\r\n"),
    ],
)
def test_a_header_that_is_smuggled_in_is_refused(target, signer, line, doubled):
    request = signer.request("ListSecrets", {})
    before = change(request, line, doubled + line)
    after = change(request, b"\r\n\r\n", b"\r\n" + doubled + b"\r\n")
    for forged in (before, after):
        statuses, answer = raw(target, forged)
        assert len(statuses) == 1 and 400 <= statuses[0] < 500, answer


@pytest.mark.parametrize(
    "header",
    [
        b"X-Amz-Target : secretsmanager.DeleteSecret\r\n",
        b" X-Amz-Target: secretsmanager.DeleteSecret\r\n",
        b"X-Amz\x00-Target: x\r\n",
        b"Folded: a\r\n b\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 2, 0\r\n",
        b"Content-Length: +2\r\n",
    ],
    ids=repr,
)
def test_two_readings_of_one_request_are_none(target, signer, header):
    """Behind it stands a second request that is never signed; it must not be answered as one that is."""
    first = change(signer.request("ListSecrets", {}), b"\r\n\r\n", b"\r\n" + header + b"\r\n")
    second = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: secretsmanager.ListSecrets\r\nContent-Length: 2\r\n\r\n{}"
    statuses, answer = raw(target, first + second)
    assert 200 not in statuses[1:], answer
    assert not statuses or statuses[0] != 200 or b"Folded" in header, answer


def test_a_signed_request_does_not_carry_an_unsigned_one_behind_it(target, signer):
    good = signer.request("ListSecrets", {})
    bare = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: secretsmanager.ListSecrets\r\nContent-Length: 2\r\n\r\n{}"
    statuses, answer = raw(target, good + bare + good)
    assert statuses == [200, 400, 200], answer
    assert b"MissingAuthenticationTokenException" in answer


def test_a_body_that_was_not_signed_is_refused_in_chunks_too(target, signer):
    request = signer.request("ListSecrets", {})
    chunked = change(request, b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n")
    good = change(chunked, b"\r\n\r\n{}", b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert raw(target, good)[0] == [200]
    other = change(chunked, b"\r\n\r\n{}", b'\r\n\r\n10\r\n{"MaxResults": 1}\r\n0\r\n\r\n')
    assert raw(target, other)[0] == [400]


def test_a_signature_in_the_query_is_none(target):
    connection = http.client.HTTPConnection("127.0.0.1", port(target), timeout=5)
    query = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test&X-Amz-Signature=" + "0" * 64
    connection.request("POST", "/" + query, body=b"{}", headers=signing.target("ListSecrets"))
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize(
    ("length", "code", "status"),
    [(120_000, "LimitExceeded", 409), (140_000, "ValidationError", 400)],
)
def test_a_policy_that_is_far_too_long(target, length, code, status):
    user, _ = new_user(target)
    statement = allow("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:us-east-1:{target.account}:secret:x-??????")
    one = len(policy(statement))
    document = policy(*[statement] * (length // (one - 40)))
    with refused(code, status):
        client(target, "iam").put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document)
    assert client(target, "iam").list_user_policies(UserName=user)["PolicyNames"] == []


def test_a_session_of_somebody_else_is_not_borrowed_by_its_id(target):
    """The id of a session is told in records and ARNs; without its token and secret it is nothing."""
    _, keys = new_user(target)
    credentials = client(target, "sts", keys).get_session_token(DurationSeconds=900)["Credentials"]
    _, other_keys = new_user(target)
    key_id, secret, token = (credentials[part] for part in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    for forged, code in (
        ((key_id, other_keys[1], token), "SignatureDoesNotMatch"),
        ((*other_keys, token), "InvalidClientTokenId"),
        ((key_id, secret), "InvalidClientTokenId"),
        ((key_id, secret, token[::-1]), "InvalidClientTokenId"),
    ):
        with refused(code, 403):
            client(target, "sts", forged).get_caller_identity()
