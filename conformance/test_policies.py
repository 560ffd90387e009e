"""Policies at work: who may read which secret, over the wire, and with which words others are refused."""

import json
import time

import pytest
import serving
from access import allow, client, deny, new_user, policy, refused, unique
from botocore.exceptions import ClientError

NOT_ALLOWED = "because no identity-based policy allows the secretsmanager:{0} action"


@pytest.fixture
def secret(client, name):
    """A secret's name and ARN."""
    return name, client.create_secret(Name=name, SecretString="v", Tags=[{"Key": "team", "Value": "blue"}])["ARN"]


def reads(target, keys, secret_id, **more):
    """Whether a read is answered; it must be, or be denied."""
    try:
        client(target, "secretsmanager", keys).get_secret_value(SecretId=secret_id, **more)
        return True
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        return False


def may_read(target, secret_id, *statements, **more):
    _, keys = new_user(target, *statements, **more)
    return reads(target, keys, secret_id)


GET = "secretsmanager:GetSecretValue"


def test_two_principals_with_different_policies(target, secret, client):
    other = client.create_secret(Name=unique("other"), SecretString="v")["ARN"]
    name, arn = secret
    reader_name, reader = new_user(target, allow(GET, arn))
    _, writer = new_user(target, allow("secretsmanager:Put*", arn))
    assert reads(target, reader, name) and reads(target, reader, arn)
    assert not reads(target, reader, other) and not reads(target, writer, name)
    with refused("AccessDeniedException", 400) as caught:
        target.client(keys=reader).put_secret_value(SecretId=name, SecretString="w")
    assert caught.value.response["Error"]["Message"] == (
        f"User: arn:aws:iam::{target.account}:user/{reader_name} is not authorized to perform: "
        f"secretsmanager:PutSecretValue on resource: {name} " + NOT_ALLOWED.format("PutSecretValue")
    )
    target.client(keys=writer).put_secret_value(SecretId=name, SecretString="w")


def test_permission_is_on_the_stored_arn_with_its_suffix(target, secret):
    name, arn = secret
    bare = target.arn(name)
    assert may_read(target, name, allow(GET, bare + "-??????"))
    assert may_read(target, name, allow(GET, bare + "*"))
    assert not may_read(target, name, allow(GET, bare))
    assert not may_read(target, bare, allow(GET, bare))
    assert not may_read(target, arn, allow(GET, arn[:-1] + "?x"))


def test_before_a_secret_is_there_its_bare_name_counts(target, name):
    _, keys = new_user(target, allow("secretsmanager:CreateSecret", target.arn(name)))
    creator = target.client(keys=keys)
    with refused("AccessDeniedException"):
        creator.create_secret(Name=name + "x", SecretString="v")
    creator.create_secret(Name=name, SecretString="v")


def test_what_is_missing_tells_no_more_than_what_is_there(target, secret):
    name, _ = secret
    _, keys = new_user(target, allow(GET, target.arn(name) + "-??????"))
    with refused("AccessDeniedException"):
        target.client(keys=keys).get_secret_value(SecretId=name + "x")
    _, keys = new_user(target, allow(GET, target.arn(name) + "*"))
    with refused("ResourceNotFoundException"):
        target.client(keys=keys).get_secret_value(SecretId=name + "x")


def test_an_explicit_deny_wins_and_says_so(target, secret):
    name, arn = secret
    _, keys = new_user(target, allow("*"), deny(GET, arn))
    with refused("AccessDeniedException", 400, "with an explicit deny in an identity-based policy"):
        target.client(keys=keys).get_secret_value(SecretId=name)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"StringEquals": {"secretsmanager:ResourceTag/team": "blue"}}, True),
        ({"StringEquals": {"aws:ResourceTag/TEAM": "blue"}}, True),
        ({"StringEquals": {"aws:ResourceTag/team": "red"}}, False),
        ({"StringEquals": {"aws:RequestedRegion": serving.REGION}}, True),
        ({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"NumericGreaterThan": {"aws:EpochTime": "1500000000"}}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"StringLike": {"aws:UserAgent": "Boto3/*"}}, True),
        ({"StringEquals": {"aws:PrincipalType": "User"}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": "${aws:ResourceAccount}"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/user-*"}}, True),
        ({"StringLike": {"aws:userid": "AIDA*"}}, True),
        ({"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}, False),
        ({"StringEqualsIfExists": {"secretsmanager:VersionStage": "AWSCURRENT"}}, True),
        ({"ArnLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:*:*:secret:conformance/*"}}, True),
        ({"Null": {"aws:TokenIssueTime": "true"}}, True),
        ({"Null": {"aws:MultiFactorAuthPresent": "true"}}, True),
    ],
    ids=json.dumps,
)
def test_what_a_request_says_of_itself(target, secret, condition, expected):
    name, _ = secret
    assert may_read(target, name, allow(GET, "*", **condition)) == expected


def test_a_stage_that_is_named_can_be_held_to(target, secret):
    name, _ = secret
    _, keys = new_user(target, allow(GET, "*", StringEquals={"secretsmanager:VersionStage": "AWSCURRENT"}))
    assert reads(target, keys, name, VersionStage="AWSCURRENT")


def test_a_principals_own_tags_and_name_scope_it(target, secret, client):
    name, _ = secret
    same_team = allow(GET, "*", StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})
    assert may_read(target, name, same_team, Tags=[{"Key": "team", "Value": "blue"}])
    assert not may_read(target, name, same_team, Tags=[{"Key": "team", "Value": "red"}])
    assert not may_read(target, name, same_team)

    own = allow("secretsmanager:*", "arn:aws:secretsmanager:*:*:secret:${aws:username}/*")
    user, keys = new_user(target, own)
    mine = target.client(keys=keys)
    mine.create_secret(Name=f"{user}/db", SecretString="v")
    assert reads(target, keys, f"{user}/db") and not reads(target, keys, name)


def test_a_variable_is_no_pattern(target, secret):
    """A user may choose its tags, and must not be able to write a wildcard with them."""
    name, _ = secret
    same_team = allow(GET, "*", StringLike={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})
    assert not may_read(target, name, same_team, Tags=[{"Key": "team", "Value": "+"}])
    with refused("ValidationError"):
        client(target, "iam").create_user(UserName=unique("star"), Path="/*/")


def test_tags_on_creation_need_their_own_permission(target, name):
    _, keys = new_user(target, allow("secretsmanager:CreateSecret"))
    with refused("AccessDeniedException", 400, "secretsmanager:TagResource"):
        target.client(keys=keys).create_secret(Name=name, SecretString="v", Tags=[{"Key": "team", "Value": "blue"}])
    tagged = {"StringEquals": {"aws:RequestTag/team": "blue"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    _, keys = new_user(target, allow(["secretsmanager:CreateSecret", "secretsmanager:TagResource"], "*", **tagged))
    creator = target.client(keys=keys)
    for tags in ([], [{"Key": "team", "Value": "red"}], [{"Key": "team", "Value": "blue"}, {"Key": "x", "Value": ""}]):
        with refused("AccessDeniedException"):
            creator.create_secret(Name=name, SecretString="v", Tags=tags)
    creator.create_secret(Name=name, SecretString="v", Tags=[{"Key": "team", "Value": "blue"}])


def test_deletion_without_recovery_can_be_kept_from(target, client, name):
    client.create_secret(Name=name, SecretString="v")
    _, keys = new_user(
        target,
        allow("secretsmanager:DeleteSecret"),
        deny("secretsmanager:DeleteSecret", "*", Bool={"secretsmanager:ForceDeleteWithoutRecovery": "true"}),
        deny("secretsmanager:DeleteSecret", "*", NumericLessThan={"secretsmanager:RecoveryWindowInDays": "14"}),
    )
    deleter = target.client(keys=keys)
    for mode in ({"ForceDeleteWithoutRecovery": True}, {"RecoveryWindowInDays": 7}):
        with refused("AccessDeniedException", 400, "with an explicit deny"):
            deleter.delete_secret(SecretId=name, **mode)
    deleter.delete_secret(SecretId=name, RecoveryWindowInDays=30)


def test_a_group_gives_and_takes(target, secret):
    name, arn = secret
    iam = client(target, "iam")
    user, keys = new_user(target)
    group = unique("readers")
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="read", PolicyDocument=policy(allow(GET, arn)))
    assert not reads(target, keys, name)
    iam.add_user_to_group(GroupName=group, UserName=user)
    assert reads(target, keys, name)
    iam.delete_group_policy(GroupName=group, PolicyName="read")
    assert not reads(target, keys, name)
    managed = iam.create_policy(PolicyName=group, PolicyDocument=policy(allow(GET, arn)))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName=group, PolicyArn=managed)
    assert reads(target, keys, name)
    iam.create_policy_version(PolicyArn=managed, PolicyDocument=policy(deny(GET, arn)), SetAsDefault=True)
    assert not reads(target, keys, name)
    iam.set_default_policy_version(PolicyArn=managed, VersionId="v1")
    assert reads(target, keys, name)
    iam.remove_user_from_group(GroupName=group, UserName=user)
    assert not reads(target, keys, name)


def test_a_boundary_bounds_and_gives_nothing(target, secret):
    name, _ = secret
    iam = client(target, "iam")
    boundary = iam.create_policy(PolicyName=unique("bound"), PolicyDocument=policy(allow("secretsmanager:Describe*")))
    boundary = boundary["Policy"]["Arn"]
    user, keys = new_user(target, allow(GET), PermissionsBoundary=boundary)
    with refused("AccessDeniedException", 400, f"because no permissions boundary allows the {GET} action"):
        target.client(keys=keys).get_secret_value(SecretId=name)
    with refused("AccessDeniedException", 400, "because no identity-based policy allows"):
        target.client(keys=keys).describe_secret(SecretId=name)
    with refused("DeleteConflict", 409, "permissions boundary"):
        iam.delete_policy(PolicyArn=boundary)
    iam.delete_user_permissions_boundary(UserName=user)
    assert reads(target, keys, name)
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=boundary)
    assert not reads(target, keys, name)


def test_aws_own_policies_at_work(target, secret):
    name, _ = secret
    iam = client(target, "iam")
    user, keys = new_user(target)
    iam.attach_user_policy(UserName=user, PolicyArn="arn:aws:iam::aws:policy/SecretsManagerReadWrite")
    assert reads(target, keys, name)
    with refused("AccessDenied", 403):
        client(target, "iam", keys).list_users()
    iam.detach_user_policy(UserName=user, PolicyArn="arn:aws:iam::aws:policy/SecretsManagerReadWrite")
    assert not reads(target, keys, name)


def test_a_deleted_users_key_is_nobodys(target, secret):
    name, arn = secret
    iam = client(target, "iam")
    user, keys = new_user(target, allow(GET, arn))
    assert reads(target, keys, name)
    iam.delete_access_key(UserName=user, AccessKeyId=keys[0])
    iam.delete_user_policy(UserName=user, PolicyName="own")
    iam.delete_user(UserName=user)
    with refused("UnrecognizedClientException", 400):
        target.client(keys=keys).get_secret_value(SecretId=name)


@pytest.mark.store
def test_users_and_what_they_may_survive_a_restart(target, secret):
    name, arn = secret
    _, reader = new_user(target, allow(GET, arn))
    _, nobody = new_user(target)
    installation = serving.Store()
    try:
        installation.init()
        installation.start()
        second = type(target)("store", installation.server.endpoint, installation.keys, installation)
        made = second.client().create_secret(Name=name, SecretString="v")["ARN"]
        _, kept = new_user(second, allow(GET, made))
        installation.server.stop()
        installation.start()
        second.endpoint = installation.server.endpoint
        assert reads(second, kept, name)
        assert installation.server.stop() == 0
    finally:
        if installation.server and installation.server.process.poll() is None:
            installation.server.kill()
        installation.remove()
    assert reads(target, reader, name) and not reads(target, nobody, name)


@pytest.mark.parametrize("spoilt", ["%2F", "/", "\u2215", "\u00e9", "*", "?", "$%7B%2A%7D", "${*}"])
def test_no_spelling_of_a_name_reaches_what_a_policy_is_not_about(target, secret, spoilt):
    """`allowed/…` is permitted; nothing that is written after it may lead elsewhere."""
    name, _ = secret
    _, keys = new_user(target, allow(GET, "arn:aws:secretsmanager:*:*:secret:allowed/*"))
    for secret_id in (f"allowed/..{spoilt}{name}", f"{spoilt}{name}", target.arn(f"allowed/../{spoilt}{name}"), target.arn(name) + spoilt):
        with pytest.raises(ClientError) as caught:
            client(target, "secretsmanager", keys).get_secret_value(SecretId=secret_id)
        code = caught.value.response["Error"]["Code"]
        assert code in ("AccessDeniedException", "ResourceNotFoundException", "ValidationException"), code


def test_read_only_access_tells_of_secrets_and_not_what_they_hold(target, secret):
    user, keys = new_user(target)
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    client(target, "iam").attach_user_policy(UserName=user, PolicyArn=arn)
    secrets, iam = client(target, "secretsmanager", keys), client(target, "iam", keys)
    assert secrets.describe_secret(SecretId=secret[0])["ARN"] == secret[1]
    secrets.list_secrets()
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v87"
    assert iam.list_attached_user_policies(UserName=user)["AttachedPolicies"][0]["PolicyName"] == "ReadOnlyAccess"
    assert not reads(target, keys, secret[0])
    with refused("AccessDeniedException", 400):
        secrets.put_secret_value(SecretId=secret[0], SecretString="w")
    with refused("AccessDenied", 403):
        iam.create_user(UserName=unique())


def test_a_policy_of_a_megabyte_is_refused(target):
    iam = client(target, "iam")
    with refused("ValidationError", 400, "Member must have length less than or equal to 131072"):
        iam.put_user_policy(UserName="x", PolicyName="p", PolicyDocument=policy(allow("s:" + "a" * 300_000)))
    # What is larger than any body is refused before it is known whose it is.
    with refused("RequestEntityTooLargeException", 413):
        iam.put_user_policy(UserName="x", PolicyName="p", PolicyDocument=policy(allow("s:" + "a" * 1_000_000)))


def test_a_policy_of_wildcards_takes_no_time(target, secret):
    name, _ = secret
    hostile = "arn:aws:secretsmanager:*:*:secret:" + "*a" * 300 + "b"
    user, keys = new_user(target)
    client(target, "iam").create_policy(PolicyName=unique("w"), PolicyDocument=policy(allow(GET, [hostile] * 5)))
    began = time.monotonic()
    client(target, "iam").put_user_policy(UserName=user, PolicyName="w", PolicyDocument=policy(allow(GET, hostile)))
    assert not reads(target, keys, "a" * 500)
    assert time.monotonic() - began < 2
