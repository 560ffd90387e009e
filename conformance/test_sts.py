"""STS through boto3: who the caller is, taking on roles, sessions and how they end."""

import datetime
import json

import pytest
import serving
import signing
from access import allow, client, deny, new_keys, new_user, policy, refused, unique

GET = "secretsmanager:GetSecretValue"


def sts(target, keys=None, region=serving.REGION):
    return client(target, "sts", keys, region)


def trust(principal, action="sts:AssumeRole", **condition):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action}
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]}
    )


def new_role(target, trust_policy, *statements, **more):
    """A role with these statements in a policy of its own: its name and its ARN."""
    iam = client(target, "iam")
    name = unique("role")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy, **more)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return name, arn


def session_keys(credentials):
    return credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]


def assume(target, keys, arn, **more):
    answer = sts(target, keys).assume_role(RoleArn=arn, RoleSessionName="app", **more)
    return session_keys(answer["Credentials"])


def read(target, keys, secret_id):
    return client(target, "secretsmanager", keys).get_secret_value(SecretId=secret_id)["SecretString"]


@pytest.fixture
def secret(client, name):
    return client.create_secret(Name=name, SecretString="v")["ARN"]


@pytest.mark.parametrize("region", [serving.REGION, "eu-west-1"])
def test_the_caller_is_told_who_it_is(target, region):
    identity = sts(target, region=region).get_caller_identity()
    assert identity["Account"] == target.account
    assert identity["Arn"].startswith(f"arn:aws:iam::{target.account}:user/")
    assert identity["UserId"].startswith("AIDA") and len(identity["UserId"]) == 21
    assert identity["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "text/xml"


@pytest.mark.dev
def test_it_needs_no_permission(target):
    identity = sts(target, serving.NOBODY_KEYS).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{target.account}:user/nobody"


def test_a_role_that_names_a_user_is_taken_on_and_reads_its_own_secret_and_nothing_else(target, client, secret):
    other = client.create_secret(Name=unique("other"), SecretString="w")["ARN"]
    user, keys = new_user(target)
    name, arn = new_role(target, trust(f"arn:aws:iam::{target.account}:user/{user}"), allow(GET, secret))
    answer = sts(target, keys).assume_role(RoleArn=arn, RoleSessionName="app")
    credentials = answer["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA") and len(credentials["AccessKeyId"]) == 20
    left = credentials["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 3500 < left.total_seconds() <= 3600
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{target.account}:assumed-role/{name}/app"

    session = session_keys(credentials)
    identity = sts(target, session).get_caller_identity()
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert identity["UserId"].startswith("AROA") and identity["UserId"].endswith(":app")
    assert read(target, session, secret) == "v"
    with refused("AccessDeniedException", 400, f"User: {identity['Arn']} is not authorized to perform: {GET}"):
        read(target, session, other)
    with refused("AccessDeniedException", 400):
        read(target, keys, secret)


def test_who_is_not_trusted_does_not_get_in_and_learns_nothing(target):
    user, keys = new_user(target, allow("sts:AssumeRole"))
    other, _ = new_user(target)
    _, arn = new_role(target, trust(f"arn:aws:iam::{target.account}:user/{other}"))
    for role in (arn, arn + "x"):
        with refused("AccessDenied", 403) as caught:
            assume(target, keys, role)
        said = caught.value.response["Error"]["Message"]
        assert said == (
            f"User: arn:aws:iam::{target.account}:user/{user} is not authorized to perform: sts:AssumeRole on resource: {role}"
        )


def test_who_is_deleted_and_made_anew_is_not_trusted(target):
    user, keys = new_user(target)
    principal = f"arn:aws:iam::{target.account}:user/{user}"
    name, arn = new_role(target, trust(principal))
    assert assume(target, keys, arn)
    iam = client(target, "iam")

    def trusted():
        return iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]

    user_id = iam.get_user(UserName=user)["User"]["UserId"]
    assert trusted() == principal
    iam.delete_access_key(UserName=user, AccessKeyId=keys[0])
    iam.delete_user(UserName=user)
    assert trusted() == user_id
    with refused("MalformedPolicyDocument", 400, f'Invalid principal in policy: "AWS":"{principal}"'):
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust(principal))
    iam.create_user(UserName=user)
    keys = new_keys(target, user)
    with refused("AccessDenied", 403):
        assume(target, keys, arn)
    assert trusted() == user_id
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust(principal))
    assert assume(target, keys, arn)


def test_a_role_that_trusts_the_account_leaves_it_to_the_callers_policies(target):
    _, arn = new_role(target, trust(f"arn:aws:iam::{target.account}:root"))
    _, may_not = new_user(target)
    _, may = new_user(target, allow("sts:AssumeRole", arn))
    _, denied = new_user(target, allow("*"), deny("sts:AssumeRole", arn))
    assert assume(target, may, arn)
    for keys in (may_not, denied):
        with refused("AccessDenied", 403):
            assume(target, keys, arn)


def test_a_confused_deputy_has_no_external_id(target):
    user, keys = new_user(target)
    principal = f"arn:aws:iam::{target.account}:user/{user}"
    _, arn = new_role(target, trust(principal, StringEquals={"sts:ExternalId": "customer-17"}))
    for wrong in ({}, {"ExternalId": "customer-18"}):
        with refused("AccessDenied", 403):
            assume(target, keys, arn, **wrong)
    assert assume(target, keys, arn, ExternalId="customer-17")


def test_a_session_policy_narrows_and_gives_nothing(target, secret):
    user, keys = new_user(target)
    principal = f"arn:aws:iam::{target.account}:user/{user}"
    _, arn = new_role(target, trust(principal), allow("secretsmanager:*", secret))
    narrow = assume(target, keys, arn, Policy=policy(allow("secretsmanager:Describe*")))
    client(target, "secretsmanager", narrow).describe_secret(SecretId=secret)
    with refused("AccessDeniedException", 400, f"because no session policy allows the {GET} action"):
        read(target, narrow, secret)
    own_policy = "arn:aws:iam::aws:policy/SecretsManagerReadWrite"
    assert read(target, assume(target, keys, arn, PolicyArns=[{"arn": own_policy}]), secret) == "v"
    assert read(target, assume(target, keys, arn), secret) == "v"
    with refused("MalformedPolicyDocument", 400):
        assume(target, keys, arn, Policy="{")


def test_how_long_a_session_can_be(target):
    user, keys = new_user(target)
    principal = f"arn:aws:iam::{target.account}:user/{user}"
    _, arn = new_role(target, trust(principal), MaxSessionDuration=7200)
    assert assume(target, keys, arn, DurationSeconds=7200)
    with refused("ValidationError", 400, "exceeds the MaxSessionDuration set for this role"):
        assume(target, keys, arn, DurationSeconds=7201)
    chained_name, chained = new_role(target, trust(arn), MaxSessionDuration=7200)
    session = assume(target, keys, arn)
    assert assume(target, session, chained)
    with refused("ValidationError", 400, "role chaining"):
        assume(target, session, chained, DurationSeconds=3601)


def test_tags_of_a_session_and_who_is_behind_it(target, client, name):
    client.create_secret(Name=name, SecretString="v", Tags=[{"Key": "team", "Value": "blue"}])
    user, keys = new_user(target)
    principal = f"arn:aws:iam::{target.account}:user/{user}"
    same_team = allow(GET, "*", StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})
    _, arn = new_role(target, trust(principal), same_team, Tags=[{"Key": "team", "Value": "red"}])
    blue = {"Tags": [{"Key": "team", "Value": "blue"}]}
    with refused("AccessDenied", 403, "sts:TagSession"):
        assume(target, keys, arn, **blue)
    with refused("AccessDeniedException"):
        read(target, assume(target, keys, arn), name)

    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    _, arn = new_role(target, trust(principal, actions), same_team, deny(GET, "*", StringEquals={"aws:SourceIdentity": "mallory"}))
    assert read(target, assume(target, keys, arn, **blue), name) == "v"
    assert read(target, assume(target, keys, arn, SourceIdentity="alice", **blue), name) == "v"
    with refused("AccessDeniedException", 400, "explicit deny"):
        read(target, assume(target, keys, arn, SourceIdentity="mallory", **blue), name)


def test_older_sessions_of_a_role_are_revoked_at_once(target, secret):
    user, keys = new_user(target)
    name, arn = new_role(target, trust(f"arn:aws:iam::{target.account}:user/{user}"), allow(GET, secret))
    session = assume(target, keys, arn)
    assert read(target, session, secret) == "v"
    now = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    revoked = policy(deny("*", "*", DateLessThan={"aws:TokenIssueTime": now}))
    iam = client(target, "iam")
    iam.put_role_policy(RoleName=name, PolicyName="AWSRevokeOlderSessions", PolicyDocument=revoked)
    with refused("AccessDeniedException", 400, "with an explicit deny in an identity-based policy"):
        read(target, session, secret)
    iam.delete_role_policy(RoleName=name, PolicyName="AWSRevokeOlderSessions")
    assert read(target, session, secret) == "v"


def test_a_session_ends_with_its_role_and_another_of_the_same_name_is_not_meant(target, secret):
    user, keys = new_user(target)
    trusted = trust(f"arn:aws:iam::{target.account}:user/{user}")
    name, arn = new_role(target, trusted, allow(GET, secret))
    session = assume(target, keys, arn)
    iam = client(target, "iam")
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    iam.delete_role(RoleName=name)
    with refused("UnrecognizedClientException", 400):
        read(target, session, secret)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(allow(GET, secret)))
    with refused("UnrecognizedClientException", 400):
        read(target, session, secret)


def test_a_token_is_good_for_its_own_key_only(target, secret):
    user, keys = new_user(target)
    _, arn = new_role(target, trust(f"arn:aws:iam::{target.account}:user/{user}"), allow(GET, secret))
    one, other = assume(target, keys, arn), assume(target, keys, arn)
    changed = one[2][:40] + ("A" if one[2][40] != "A" else "B") + one[2][41:]
    for spoilt in ((*one[:2], other[2]), (*keys, one[2]), (*one[:2], changed), (*one[:2], "x"), one[:2]):
        with refused("UnrecognizedClientException", 400):
            read(target, spoilt, secret)
    with refused("InvalidSignatureException", 400):
        read(target, (one[0], "wrong", one[2]), secret)
    # Signed as it is, but the token is not among what was signed.
    headers = signing.signed(target.endpoint, "GetSecretValue", {"SecretId": secret}, one[:2], serving.REGION)
    answer = signing.send(target.endpoint, {"SecretId": secret}, headers | {"X-Amz-Security-Token": one[2]})
    assert answer.code == "InvalidSignatureException"


def test_a_users_own_session_can_do_what_the_user_can(target, secret):
    user, keys = new_user(target, allow(GET, secret, Bool={"aws:MultiFactorAuthPresent": "false"}))
    with refused("AccessDeniedException"):
        read(target, keys, secret)
    credentials = sts(target, keys).get_session_token(DurationSeconds=900)["Credentials"]
    session = session_keys(credentials)
    assert sts(target, session).get_caller_identity()["Arn"] == f"arn:aws:iam::{target.account}:user/{user}"
    assert read(target, session, secret) == "v"
    with refused("AccessDenied", 403, "Cannot call GetSessionToken with session credentials"):
        sts(target, session).get_session_token()


def test_what_is_not_served_is_refused_by_name(target):
    with refused("ValidationError", 400, "'serialNumber'"):
        sts(target).get_session_token(SerialNumber="arn:aws:iam::123456789012:mfa/me", TokenCode="123456")
    with refused("ValidationError", 400, "'roleArn'"):
        sts(target).assume_role(RoleArn="arn:aws:iam::123456789012:user/nope", RoleSessionName="app")


def test_who_is_behind_a_session_stays_the_same_in_a_chain(target):
    # Named on the way in, and neither changed nor left out of what a policy sees afterwards.
    _, keys = new_user(target, allow("sts:*"))
    actions = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    root = f"arn:aws:iam::{target.account}:root"
    _, first = new_role(target, trust(root, actions), allow("sts:*"))
    _, second = new_role(target, trust(root, actions, StringEquals={"sts:SourceIdentity": "alice"}))
    alice, mallory = (assume(target, keys, first, SourceIdentity=who) for who in ("alice", "mallory"))
    assert assume(target, alice, second)
    assert assume(target, alice, second, SourceIdentity="alice")
    with refused("AccessDenied", 403):
        assume(target, mallory, second)
    with refused("AccessDenied", 403):
        assume(target, mallory, second, SourceIdentity="alice")


def test_a_session_is_not_wider_than_asked_for(target):
    _, keys = new_user(target, allow("sts:*"))
    _, role = new_role(target, trust(f"arn:aws:iam::{target.account}:root"), allow("*"))
    nobodys = f"arn:aws:iam::{target.account}:policy/not-there"
    with refused("NoSuchEntity", 404):
        assume(target, keys, role, PolicyArns=[{"arn": nobodys}])


def test_a_denial_is_said_in_words_and_none_is_encoded(target):
    """DecodeAuthorizationMessage is refused as AWS refuses what it did not encode, and to whom it is not allowed not even that."""
    _, nobody = new_user(target)
    with refused("AccessDenied", 403, "because no identity-based policy allows the sts:DecodeAuthorizationMessage action"):
        sts(target, nobody).decode_authorization_message(EncodedMessage="x")
    _, keys = new_user(target, allow("sts:DecodeAuthorizationMessage"))
    for message in ["x", "A" * 10_240]:
        with refused("InvalidAuthorizationMessageException", 400, "Message is not valid"):
            sts(target, keys).decode_authorization_message(EncodedMessage=message)
    with refused("ValidationError", 400, "encodedMessage"):
        sts(target, keys).decode_authorization_message(EncodedMessage="A" * 10_241)
