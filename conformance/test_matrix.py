"""Every operation on secrets × kinds of callers, as one table that is kept: `matrix.txt` beside this file.

An operation or a kind of caller that is added shows in the table's difference. `COFFER_ACCEPT=1` writes the table down.
"""

import os
import pathlib

import pytest
from access import allow, client, deny, new_user, policy, unique
from botocore.exceptions import ClientError
from conftest import OPERATIONS, new_token

pytestmark = pytest.mark.dev

KEPT = pathlib.Path(__file__).with_name("matrix.txt")
TAGS = [{"Key": "team", "Value": "blue"}]


def callers(target, secret_name):
    """Name and keys of each kind of caller."""
    arn = f"arn:aws:secretsmanager:*:*:secret:{secret_name}-??????"
    own = f"arn:aws:secretsmanager:*:*:secret:{secret_name}*"
    all_of_it = allow("secretsmanager:*")
    bound = client(target, "iam").create_policy(
        PolicyName=unique("bound"), PolicyDocument=policy(allow(["secretsmanager:Get*", "secretsmanager:Describe*"]))
    )["Policy"]["Arn"]
    yield "administrator", target.keys
    kinds = {
        "no policy": (),
        "reader": (allow(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], arn),),
        "writer": (allow(["secretsmanager:Put*", "secretsmanager:Update*", "secretsmanager:CreateSecret"], own),),
        "of its team": (allow("secretsmanager:*", "*", StringEquals={"aws:ResourceTag/team": "blue"}),),
        "of another team": (allow("secretsmanager:*", "*", StringEquals={"aws:ResourceTag/team": "red"}),),
        "of another region": (allow("secretsmanager:*", "*", StringEquals={"aws:RequestedRegion": "eu-west-1"}),),
        "bare name": (allow("secretsmanager:*", arn.replace("-??????", "")),),
        "all but reads": (all_of_it, deny("secretsmanager:*GetSecretValue")),
    }
    for kind, statements in kinds.items():
        yield kind, new_user(target, *statements)[1]
    yield "bounded", new_user(target, all_of_it, PermissionsBoundary=bound)[1]
    yield from sessions(target, own)


def sessions(target, own):
    """Sessions of a role: one that may do what the role may, one that is narrowed, one that was revoked."""
    iam = client(target, "iam")
    user, keys = new_user(target)
    trust = policy({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{target.account}:user/{user}"}, "Action": "sts:AssumeRole"})
    sts = client(target, "sts", keys)

    def role(*statements):
        name = unique("role")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        return arn

    def session(arn, **more):
        made = sts.assume_role(RoleArn=arn, RoleSessionName="app", **more)["Credentials"]
        return made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]

    whole = allow("secretsmanager:*", own)
    yield "session", session(role(whole))
    yield "narrowed session", session(role(whole), Policy=policy(allow("secretsmanager:DescribeSecret")))
    revoked = deny("*", "*", DateLessThan={"aws:TokenIssueTime": "2100-01-01T00:00:00Z"})
    yield "revoked session", session(role(whole, revoked))


def requests(secret_name):
    """What is asked: each operation about a secret that is there."""
    about = {"SecretId": secret_name}
    return {
        "BatchGetSecretValue": {"SecretIdList": [secret_name]},
        "CreateSecret": {"Name": secret_name + "/new", "SecretString": "v", "ClientRequestToken": new_token()},
        "DeleteSecret": about,
        "DescribeSecret": about,
        "GetRandomPassword": {},
        "GetSecretValue": about,
        "ListSecretVersionIds": about,
        "ListSecrets": {"MaxResults": 1},
        "PutSecretValue": about | {"SecretString": "w", "ClientRequestToken": new_token()},
        "RestoreSecret": about,
        "TagResource": about | {"Tags": TAGS},
        "UntagResource": about | {"TagKeys": ["none"]},
        "UpdateSecret": about | {"Description": "d"},
        "UpdateSecretVersionStage": about | {"VersionStage": "AWSPENDING"},
    }


def outcome(target, keys, operation, body):
    """`yes`, `-` for a denial, or another refusal, which only whoever is allowed comes to."""
    method = getattr(client(target, "secretsmanager", keys), _snake(operation))
    try:
        answer = method(**body)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return "-" if code == "AccessDeniedException" else code
    return "none of it" if answer.get("Errors") else "yes"


def _snake(name):
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


def test_who_may_do_what(target):
    secret_name = unique("matrix")
    asked = requests(secret_name)
    assert sorted(asked) == OPERATIONS
    administrator = target.client()
    lines = []
    for kind, keys in callers(target, secret_name):
        for operation, body in asked.items():
            administrator.create_secret(Name=secret_name, SecretString="v", Tags=TAGS)
            lines.append(f"{kind:20} {operation:26} {outcome(target, keys, operation, body)}")
            for name in (secret_name, secret_name + "/new"):
                administrator.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    table = "\n".join(lines) + "\n"
    if os.environ.get("COFFER_ACCEPT"):
        KEPT.write_text(table)
    assert table == KEPT.read_text()
