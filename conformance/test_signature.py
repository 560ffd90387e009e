"""Signature Version 4: who is believed, and what each kind of disbelief is called.

botocore signs; the tests then change one thing.
"""

import datetime
import email.utils
import re

import pytest
import serving
import signing
from conftest import refused

NOT_MATCHING = re.compile(
    r"(?s)The request signature we calculated does not match the signature you provided\. Check your AWS Secret "
    r"Access Key and signing method\. Consult the service documentation for details\..*"
)
INVALID_TOKEN = "The security token included in the request is invalid."


def utc(**ahead):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)


@pytest.fixture
def listing(target):
    """Sends a ListSecrets, signed and then changed: `listing(headers → headers)`."""

    def send(change=lambda headers: headers, body=b"{}", send_body=None, **how):
        keys = how.pop("keys", target.keys)
        region = how.pop("region", serving.REGION)
        headers = change(signing.signed(target.endpoint, "ListSecrets", body, keys, region, **how))
        return signing.send(target.endpoint, body if send_body is None else send_body, headers)

    return send


def with_authorization(pattern, replacement):
    def change(headers):
        changed = re.sub(pattern, replacement, headers["Authorization"])
        assert changed != headers["Authorization"], "the test changed nothing"
        return headers | {"Authorization": changed}

    return change


def without(*names):
    return lambda headers: {name: value for name, value in headers.items() if name not in names}


def test_what_botocore_signs_is_believed(listing):
    assert listing().status == 200


def test_boto3_with_a_wrong_secret(target):
    with refused("InvalidSignatureException", NOT_MATCHING):
        target.client(keys=(target.keys[0], "wrong")).list_secrets()


def test_boto3_with_an_unknown_key(target):
    with refused("UnrecognizedClientException", INVALID_TOKEN):
        target.client(keys=("AKIAUNKNOWN000000000", "wrong")).list_secrets()


def test_a_changed_body(listing):
    answer = listing(body=b"{}", send_body=b'{"MaxResults":1}')
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")
    assert NOT_MATCHING.fullmatch(answer.message)


def test_a_changed_signature(listing):
    for change in (
        with_authorization("Signature=.", "Signature=g"),
        with_authorization("Signature=[0-9a-f]{64}", "Signature=" + "0" * 64),
    ):
        answer = listing(change)
        assert answer.status == 400
        assert answer.code in ("InvalidSignatureException", "IncompleteSignatureException")


def test_a_changed_signed_header(listing):
    answer = listing(lambda headers: headers | {"X-Amz-Target": "secretsmanager.DescribeSecret"})
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


def test_another_host(listing):
    answer = listing(lambda headers: headers | {"Host": "elsewhere:1"})
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


def test_a_signature_for_another_region_or_service_in_the_scope(listing):
    for pattern, replacement in ((r"/us-east-1/", "/eu-west-1/"), (r"/secretsmanager/", "/kms/")):
        answer = listing(with_authorization(pattern, replacement))
        assert (answer.status, answer.code) == (400, "InvalidSignatureException")


def test_more_signed_headers_than_botocore_signs(listing):
    """As the Java SDK does: user-agent, amz-sdk-* and whatever else SignedHeaders lists count."""
    headers = {"Amz-Sdk-Request": "attempt=1; max=3", "X-Custom": "spaces   inside"}
    assert listing(headers=headers).status == 200
    answer = listing(lambda signed: signed | {"X-Custom": "another"}, headers=headers)
    assert answer.code == "InvalidSignatureException"


def test_a_header_outside_the_signature_may_change(listing):
    assert listing(lambda headers: headers | {"User-Agent": "anything", "X-Unsigned": "1"}).status == 200


def test_nothing_at_all(target):
    answer = signing.send(target.endpoint, {}, {"Content-Type": signing.CONTENT_TYPE, **signing.target("ListSecrets")})
    assert answer.status in (400, 403)
    assert answer.code in ("MissingAuthenticationTokenException", "MissingAuthenticationToken")


def test_another_scheme(listing):
    answer = listing(lambda headers: headers | {"Authorization": "Bearer abc"})
    assert answer.status in (400, 403)
    assert answer.code in (
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
    )


INCOMPLETE = {
    "no credential": with_authorization(r"Credential=[^,]+, ", ""),
    "no signed headers": with_authorization(r"SignedHeaders=[^,]+, ", ""),
    "no signature": with_authorization(r", Signature=.*", ""),
    "a short scope": with_authorization(r"/secretsmanager/aws4_request", "/aws4_request"),
    "no date": without("X-Amz-Date"),
    "a date that is none": lambda headers: headers | {"X-Amz-Date": "yesterday"},
    "host not signed": with_authorization(r"SignedHeaders=content-type;host;", "SignedHeaders=content-type;"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_incomplete_signatures(listing, case):
    answer = listing(INCOMPLETE[case])
    assert answer.status in (400, 403)
    assert answer.code in (
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
    )
    if case not in ("host not signed", "no date", "a date that is none"):
        assert answer.code == "IncompleteSignatureException"


def test_a_session_token_that_coffer_did_not_issue(target):
    answer = target.call("ListSecrets", {}, token="FwoGZXIvYXdzEXAMPLE")
    assert (answer.status, answer.code) == (400, "UnrecognizedClientException")
    assert answer.message == INVALID_TOKEN


EXPIRED = re.compile(r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)")
EARLY = re.compile(
    r"Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)"
)


@pytest.mark.parametrize("ahead", [{"minutes": 4, "seconds": 30}, {"minutes": -4, "seconds": -30}, {}], ids=str)
def test_a_clock_a_little_off_is_believed(listing, ahead):
    assert listing(now=utc(**ahead)).status == 200


@pytest.mark.parametrize(
    "ahead, words",
    [({"minutes": -6}, EXPIRED), ({"days": -400}, EXPIRED), ({"minutes": 6}, EARLY), ({"days": 1}, EARLY)],
    ids=["6 minutes late", "a year late", "6 minutes early", "a day early"],
)
def test_a_clock_far_off_is_not(listing, ahead, words):
    answer = listing(now=utc(**ahead))
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")
    assert words.fullmatch(answer.message), answer.message


def test_every_answer_carries_an_accurate_date(listing):
    """SDKs set their clock by it after a refusal for skew."""
    for answer in (listing(), listing(now=utc(days=1))):
        date = email.utils.parsedate_to_datetime(answer.headers["Date"])
        assert abs((date - utc()).total_seconds()) < 3


def test_authentication_comes_before_the_body_is_read(listing):
    for body in (b"{", b"[" * 10_000, b"\xff\xfe"):
        answer = listing(with_authorization("Signature=[0-9a-f]{64}", "Signature=" + "0" * 64), body=body)
        assert answer.code == "InvalidSignatureException"


def test_authentication_comes_before_the_operation_is_known(target):
    headers = signing.signed(target.endpoint, "NoSuchOperation", {}, (target.keys[0], "wrong"), serving.REGION)
    assert signing.send(target.endpoint, {}, headers).code == "InvalidSignatureException"


def test_the_signer_of_the_load_generators_signs_as_botocore_does(target):
    host = target.endpoint.removeprefix("http://")
    data = signing.Signer(host, target.keys, serving.REGION).request("ListSecrets", {"MaxResults": 1})
    connection = signing.Connection(int(host.rsplit(":", 1)[1]))
    try:
        status, _, _ = connection.call(data)
    finally:
        connection.close()
    assert status == 200
