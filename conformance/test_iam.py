"""IAM through boto3: users, keys, groups, roles, policies; what AWS answers and what it refuses."""

import datetime
import json
import re
import urllib.parse

import pytest
import serving
import signing
from access import allow, client, new_keys, new_user, policy, refused, unique

READ = policy(allow("secretsmanager:GetSecretValue"))
ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture
def iam(target):
    return client(target, "iam")


def trust(principal):
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}],
        }
    )


def test_a_users_whole_life(iam, target):
    name = unique("alice")
    made = iam.create_user(UserName=name, Path="/people/", Tags=[{"Key": "team", "Value": "a & b <c>"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{target.account}:user/people/{name}"
    assert re.fullmatch("AIDA[A-Z2-7]{17}", made["UserId"])
    user = iam.get_user(UserName=name)["User"]
    assert user == made
    assert user["Tags"] == [{"Key": "team", "Value": "a & b <c>"}]

    iam.tag_user(UserName=name, Tags=[{"Key": "TEAM", "Value": "b"}, {"Key": "x", "Value": ""}])
    assert iam.list_user_tags(UserName=name)["Tags"] == [{"Key": "TEAM", "Value": "b"}, {"Key": "x", "Value": ""}]
    iam.untag_user(UserName=name, TagKeys=["team"])
    assert iam.list_user_tags(UserName=name)["Tags"] == [{"Key": "x", "Value": ""}]

    renamed = unique("alice")
    iam.update_user(UserName=name, NewUserName=renamed, NewPath="/staff/")
    assert iam.get_user(UserName=renamed)["User"]["UserId"] == made["UserId"]
    with refused("NoSuchEntity", 404, f"The user with name {name} cannot be found."):
        iam.get_user(UserName=name)
    with refused("EntityAlreadyExists", 409, f"User with name {renamed.upper()} already exists."):
        iam.create_user(UserName=renamed.upper())
    iam.delete_user(UserName=renamed)
    with refused("NoSuchEntity", 404):
        iam.delete_user(UserName=renamed)


def test_a_key_is_told_once_and_works_until_it_does_not(iam, target):
    name, keys = new_user(target)
    assert re.fullmatch("AKIA[A-Z2-7]{16}", keys[0]) and len(keys[1]) == 40
    who = lambda: client(target, "sts", keys).get_caller_identity()["Arn"]
    assert who() == f"arn:aws:iam::{target.account}:user/{name}"

    iam.update_access_key(UserName=name, AccessKeyId=keys[0], Status="Inactive")
    assert [key["Status"] for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]] == ["Inactive"]
    with refused("InvalidClientTokenId", 403):
        who()
    iam.update_access_key(UserName=name, AccessKeyId=keys[0], Status="Active")
    assert who()

    second = new_keys(target, name)
    with refused("LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2"):
        new_keys(target, name)
    with refused("DeleteConflict", 409, "must delete access keys first"):
        iam.delete_user(UserName=name)
    for access_key_id in (keys[0], second[0]):
        iam.delete_access_key(UserName=name, AccessKeyId=access_key_id)
    with refused("InvalidClientTokenId", 403):
        who()
    with refused("NoSuchEntity", 404, f"The Access Key with id {keys[0]} cannot be found."):
        iam.delete_access_key(UserName=name, AccessKeyId=keys[0])
    iam.delete_user(UserName=name)


def test_when_a_key_was_last_used(iam, target):
    name, keys = new_user(target)
    used = lambda: iam.get_access_key_last_used(AccessKeyId=keys[0])
    assert (used()["UserName"], used()["AccessKeyLastUsed"]) == (name, {"Region": "N/A", "ServiceName": "N/A"})
    client(target, "sts", keys, "eu-west-1").get_caller_identity()
    last = used()["AccessKeyLastUsed"]
    assert (last["Region"], last["ServiceName"]) == ("eu-west-1", "sts")
    assert abs((datetime.datetime.now(datetime.timezone.utc) - last["LastUsedDate"]).total_seconds()) < 60
    with refused("NoSuchEntity", 404, "The Access Key with id AKIA0000000000000000 cannot be found."):
        iam.get_access_key_last_used(AccessKeyId="AKIA0000000000000000")


def test_a_renamed_users_key_goes_on_under_the_new_name(iam, target):
    name, keys = new_user(target)
    client(target, "sts", keys).get_caller_identity()
    renamed = unique("renamed")
    iam.update_user(UserName=name, NewUserName=renamed, NewPath="/p/")
    arn = client(target, "sts", keys).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:iam::{target.account}:user/p/{renamed}"


def test_whoever_names_no_user_means_itself(target):
    name, keys = new_user(target, allow("iam:*", "arn:aws:iam::*:user/${aws:username}"))
    own = client(target, "iam", keys)
    assert own.get_user()["User"]["UserName"] == name
    assert [key["AccessKeyId"] for key in own.list_access_keys()["AccessKeyMetadata"]] == [keys[0]]
    with refused("AccessDenied", 403, "is not authorized to perform: iam:GetUser on resource: user nobody because no"):
        own.get_user(UserName="nobody")


def test_inline_policies_of_users_groups_and_roles(iam, target):
    name = unique("holder")
    iam.create_user(UserName=name)
    iam.create_group(GroupName=name)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(target.account))
    for kind in ("User", "Group", "Role"):
        who = {f"{kind}Name": name}
        call = lambda verb, **more: getattr(iam, f"{verb}_{kind.lower()}_polic{'ies' if verb == 'list' else 'y'}")(**who, **more)
        call("put", PolicyName="one", PolicyDocument=READ)
        call("put", PolicyName="two", PolicyDocument=READ)
        read = call("get", PolicyName="one")
        assert read["PolicyDocument"] == json.loads(READ)
        assert (read[f"{kind}Name"], read["PolicyName"]) == (name, "one")
        assert call("list")["PolicyNames"] == ["one", "two"]
        with refused("DeleteConflict", 409, "must delete policies first"):
            getattr(iam, f"delete_{kind.lower()}")(**who)
        with refused("MalformedPolicyDocument", 400):
            call("put", PolicyName="bad", PolicyDocument='{"Statement": [{"Effect": "Maybe"}]}')
        with refused("NoSuchEntity", 404, f"The {kind.lower()} policy with name none cannot be found."):
            call("get", PolicyName="none")
        for policy_name in ("one", "two"):
            call("delete", PolicyName=policy_name)
        getattr(iam, f"delete_{kind.lower()}")(**who)


def test_inline_policies_together_are_no_larger_than_their_quota(iam):
    name = unique("large")
    iam.create_user(UserName=name)
    large = lambda count: policy(allow([f"secretsmanager:Get{number:04}" for number in range(count)]))
    with refused("LimitExceeded", 409, f"Maximum policy size of 2048 bytes exceeded for user {name}"):
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=large(100))
    with refused("LimitExceeded", 409, "PolicySize"):
        iam.create_policy(PolicyName=name, PolicyDocument=large(400))


def test_a_managed_policys_whole_life(iam, target):
    name = unique("policy")
    made = iam.create_policy(PolicyName=name, Path="/a/", PolicyDocument=READ, Description="d")["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{target.account}:policy/a/{name}"
    assert re.fullmatch("ANPA[A-Z2-7]{17}", made["PolicyId"])
    assert (made["DefaultVersionId"], made["AttachmentCount"], made["IsAttachable"]) == ("v1", 0, True)
    with refused("EntityAlreadyExists", 409, f"A policy called {name} already exists."):
        iam.create_policy(PolicyName=name, PolicyDocument=READ)
    for number in range(2, 6):
        version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ, SetAsDefault=number == 3)
        assert version["PolicyVersion"]["VersionId"] == f"v{number}"
    with refused("LimitExceeded", 409, "A managed policy can have up to 5 versions."):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ)
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(v["VersionId"], v["IsDefaultVersion"]) for v in versions] == [
        ("v5", False), ("v4", False), ("v3", True), ("v2", False), ("v1", False),
    ]
    with refused("DeleteConflict", 409, "Cannot delete the default version of a policy."):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v5")
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v5")["PolicyVersion"]["Document"] == json.loads(READ)

    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert iam.list_attached_user_policies(UserName=name)["AttachedPolicies"] == [{"PolicyName": name, "PolicyArn": arn}]
    assert [user["UserName"] for user in iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"]] == [name]
    with refused("DeleteConflict", 409, "Cannot delete a policy attached to entities."):
        iam.delete_policy(PolicyArn=arn)
    with refused("DeleteConflict", 409, "must detach all policies first"):
        iam.delete_user(UserName=name)
    iam.detach_user_policy(UserName=name, PolicyArn=arn)
    with refused("NoSuchEntity", 404, f"Policy {arn} was not found."):
        iam.detach_user_policy(UserName=name, PolicyArn=arn)
    with refused("DeleteConflict", 409, "This policy has more than one version."):
        iam.delete_policy(PolicyArn=arn)
    for number in range(1, 5):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    iam.delete_policy(PolicyArn=arn)
    with refused("NoSuchEntity", 404, f"Policy {arn} was not found."):
        iam.get_policy(PolicyArn=arn)
    with refused("NoSuchEntity", 404, f"Policy {arn} does not exist or is not attachable."):
        iam.attach_user_policy(UserName=name, PolicyArn=arn)


def test_aws_own_policies_are_there_and_stay_as_they_are(iam):
    listed = {policy["PolicyName"] for policy in iam.list_policies(Scope="AWS")["Policies"]}
    assert {"AdministratorAccess", "SecretsManagerReadWrite", "AWSKeyManagementServicePowerUser"} <= listed
    policy = iam.get_policy(PolicyArn=ADMINISTRATOR_ACCESS)["Policy"]
    version = iam.get_policy_version(PolicyArn=ADMINISTRATOR_ACCESS, VersionId=policy["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"]["Statement"] == [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    with refused("InvalidInput", 400):
        iam.delete_policy(PolicyArn=ADMINISTRATOR_ACCESS)


def test_groups_and_who_is_in_them(iam, target):
    group, name = unique("group"), unique("member")
    made = iam.create_group(GroupName=group)["Group"]
    assert made["Arn"] == f"arn:aws:iam::{target.account}:group/{group}" and made["GroupId"].startswith("AGPA")
    iam.create_user(UserName=name)
    iam.add_user_to_group(GroupName=group, UserName=name)
    assert [user["UserName"] for user in iam.get_group(GroupName=group)["Users"]] == [name]
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=name)["Groups"]] == [group]
    renamed = unique("group")
    iam.update_group(GroupName=group, NewGroupName=renamed)
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=name)["Groups"]] == [renamed]
    with refused("DeleteConflict", 409):
        iam.delete_group(GroupName=renamed)
    with refused("DeleteConflict", 409, "must remove users from group first"):
        iam.delete_user(UserName=name)
    iam.remove_user_from_group(GroupName=renamed, UserName=name)
    iam.delete_group(GroupName=renamed)
    with refused("NoSuchEntity", 404, f"The group with name {renamed} cannot be found."):
        iam.add_user_to_group(GroupName=renamed, UserName=name)


def test_a_roles_whole_life(iam, target):
    name = unique("role")
    document = trust(f"arn:aws:iam::{target.account}:root")
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=document, Description="d", MaxSessionDuration=7200, Tags=[{"Key": "k", "Value": "v"}]
    )["Role"]
    assert made["Arn"] == f"arn:aws:iam::{target.account}:role/{name}" and made["RoleId"].startswith("AROA")
    role = iam.get_role(RoleName=name)["Role"]
    assert (role["AssumeRolePolicyDocument"], role["MaxSessionDuration"]) == (json.loads(document), 7200)
    iam.update_role(RoleName=name, MaxSessionDuration=3600)
    role = iam.get_role(RoleName=name)["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("d", 3600)
    assert iam.update_role_description(RoleName=name, Description="e")["Role"]["Description"] == "e"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust("*"))
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "k", "Value": "v"}]
    for bad in (READ, "{", '{"Version": "2012-10-17", "Statement": []}'):
        with refused("MalformedPolicyDocument", 400):
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=bad)
    with refused("ValidationError", 400, "Value '43201' at 'maxSessionDuration' failed to satisfy constraint"):
        iam.update_role(RoleName=name, MaxSessionDuration=43201)
    iam.delete_role(RoleName=name)
    with refused("NoSuchEntity", 404, f"The role with name {name} cannot be found."):
        iam.get_role(RoleName=name)


def test_a_listing_comes_in_pages_and_by_path(iam):
    path = f"/{unique('path')}/"
    names = sorted(unique("page") for _ in range(7))
    for name in names:
        iam.create_user(UserName=name, Path=path)
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 3}))
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    assert [user["UserName"] for page in pages for user in page["Users"]] == names
    assert [page["IsTruncated"] for page in pages] == [True, True, False]
    marker = pages[0]["Marker"]
    with refused("ValidationError", 400):
        iam.list_roles(Marker=marker)
    with refused("ValidationError", 400):
        iam.list_users(Marker="forged")


def test_the_accounts_other_name_and_what_is_in_it(iam):
    alias = unique("coffer")
    iam.create_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == [alias]
    iam.delete_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == []
    with refused("NoSuchEntity", 404):
        iam.delete_account_alias(AccountAlias=alias)
    with refused("ValidationError", 400):
        iam.create_account_alias(AccountAlias="-no-")
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["UsersQuota"] == 5000 and summary["Users"] >= 1


def test_everything_wrong_is_told_at_once(iam, target):
    body = urllib.parse.urlencode({"Action": "CreateUser", "Version": "2010-05-08", "UserName": "a b", "Path": "x"})
    answer = send(target, body)
    assert answer.status == 400
    assert b"<Code>ValidationError</Code>" in answer.body and b"2 validation errors detected" in answer.body


def send(target, body, service="iam", region=serving.REGION, keys=None):
    """A form, signed for a service and a region."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = body.encode()
    signed = signing.signed(
        target.endpoint, None, body, keys or target.keys, region, headers=headers, service=service
    )
    return signing.send(target.endpoint, body, signed)


LIST_USERS = "Action=ListUsers&Version=2010-05-08"
IDENTITY = "Action=GetCallerIdentity&Version=2011-06-15"


@pytest.mark.parametrize(
    ("body", "service", "region", "code", "status"),
    [
        (LIST_USERS, "secretsmanager", "us-east-1", "SignatureDoesNotMatch", 403),
        (LIST_USERS, "iam", "eu-west-1", "SignatureDoesNotMatch", 403),
        (LIST_USERS, "sts", "us-east-1", "InvalidAction", 400),
        (IDENTITY, "iam", "us-east-1", "InvalidAction", 400),
        ("Action=ListUsers&Version=2011-06-15", "iam", "us-east-1", "InvalidAction", 400),
        ("Action=Nothing&Version=2010-05-08", "iam", "us-east-1", "InvalidAction", 400),
        (LIST_USERS + "&MaxItems=1&MaxItems=2", "iam", "us-east-1", "MalformedQueryString", 400),
        (LIST_USERS + "&Marker=%ff", "iam", "us-east-1", "MalformedQueryString", 400),
    ],
)
def test_what_is_signed_for_one_service_is_not_good_for_another(target, body, service, region, code, status):
    answer = send(target, body, service, region)
    assert (answer.status, f"<Code>{code}</Code>".encode() in answer.body) == (status, True), answer.body


def test_an_unknown_key_and_a_wrong_one_and_none_at_all(target):
    unknown = send(target, LIST_USERS, keys=("AKIAUNKNOWN000000000", "x"))
    wrong = send(target, LIST_USERS, keys=(target.keys[0], "wrong"))
    assert (unknown.status, b"<Code>InvalidClientTokenId</Code>" in unknown.body) == (403, True)
    assert (wrong.status, b"<Code>SignatureDoesNotMatch</Code>" in wrong.body) == (403, True)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    none = signing.send(target.endpoint, LIST_USERS.encode(), headers)
    assert (none.status, b"<Code>MissingAuthenticationToken</Code>" in none.body) == (403, True)


def test_a_json_request_signed_for_iam_is_refused(target):
    signed = signing.signed(target.endpoint, "ListSecrets", {}, target.keys, serving.REGION, service="iam")
    assert signing.send(target.endpoint, {}, signed).code == "InvalidSignatureException"


@pytest.mark.dev
def test_whoever_has_no_policy_is_denied_every_operation(target, iam):
    """One call of each operation, by somebody without a policy."""
    nobody = client(target, "iam", serving.NOBODY_KEYS)
    examples = {"PolicyArn": ADMINISTRATOR_ACCESS, "PermissionsBoundary": ADMINISTRATOR_ACCESS, "PolicyDocument": READ,
                "AssumeRolePolicyDocument": trust("*"), "AccessKeyId": "AKIA0000000000000000", "Status": "Inactive",
                "VersionId": "v1", "AccountAlias": "alias", "Tags": [{"Key": "k", "Value": "v"}], "TagKeys": ["k"]}
    model = nobody.meta.service_model
    denied = set()
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        required = shape.required_members if shape else []
        arguments = {member: examples.get(member, "someone") for member in required}
        method = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower()
        if not hasattr(nobody, method):
            continue
        try:
            getattr(nobody, method)(**arguments)
            raise AssertionError(f"{operation} was answered")
        except nobody.exceptions.ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        except Exception as error:  # arguments that botocore itself does not take
            assert "validation" in str(type(error)).lower() or "Param" in str(type(error)), error
            continue
        if code == "InvalidAction":
            continue
        assert code == "AccessDenied", (operation, code, message)
        assert f"is not authorized to perform: iam:{operation}" in message
        denied.add(operation)
    assert len(denied) >= 70, denied
