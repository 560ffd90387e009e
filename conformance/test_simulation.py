"""The policy simulator through boto3: what policies would answer, by which statement, and what is missing."""

import json
import time

import pytest
from access import allow, client, deny, new_user, policy, refused, unique

GET = "secretsmanager:GetSecretValue"
PUT = "secretsmanager:PutSecretValue"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf"
OTHER = "arn:aws:secretsmanager:us-east-1:123456789012:secret:other-AbCdEf"


@pytest.fixture
def iam(target):
    return client(target, "iam")


def decisions(answer):
    return {
        (result["EvalActionName"], result["EvalResourceName"]): result["EvalDecision"]
        for result in answer["EvaluationResults"]
    }


def text(key, *values, kind="string"):
    return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}


def test_the_example_of_the_aws_cli(iam):
    document = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",'
        '"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}'
    )
    ask = lambda *context: iam.simulate_custom_policy(
        PolicyInputList=[document], ActionNames=["dynamodb:CreateBackup"], ContextEntries=list(context)
    )["EvaluationResults"]
    later = text("aws:CurrentTime", "2019-04-25T11:00:00Z", kind="date")
    assert ask(later) == [
        {
            "EvalActionName": "dynamodb:CreateBackup",
            "EvalResourceName": "*",
            "EvalDecision": "allowed",
            "MatchedStatements": [
                {
                    "SourcePolicyId": "PolicyInputList.1",
                    "SourcePolicyType": "IAM Policy",
                    "StartPosition": {"Line": 1, "Column": 38},
                    "EndPosition": {"Line": 1, "Column": 167},
                }
            ],
            "MissingContextValues": [],
        }
    ]
    [earlier] = ask(text("aws:CurrentTime", "2014-04-25T11:00:00Z", kind="date"))
    assert (earlier["EvalDecision"], earlier["MatchedStatements"], earlier["MissingContextValues"]) == (
        "implicitDeny",
        [],
        [],
    )
    [nothing] = ask()
    assert (nothing["EvalDecision"], nothing["MissingContextValues"]) == ("implicitDeny", ["aws:CurrentTime"])


def test_every_action_is_tried_on_every_resource(iam):
    answer = iam.simulate_custom_policy(
        PolicyInputList=[policy(allow(GET, SECRET[:-6] + "??????")), policy(deny(PUT))],
        ActionNames=[GET, PUT, "secretsmanager:DeleteSecret"],
        ResourceArns=[SECRET, OTHER],
    )
    assert decisions(answer) == {
        (GET, SECRET): "allowed",
        (GET, OTHER): "implicitDeny",
        (PUT, SECRET): "explicitDeny",
        (PUT, OTHER): "explicitDeny",
        ("secretsmanager:DeleteSecret", SECRET): "implicitDeny",
        ("secretsmanager:DeleteSecret", OTHER): "implicitDeny",
    }
    by = {
        result["EvalDecision"]: [matched["SourcePolicyId"] for matched in result["MatchedStatements"]]
        for result in answer["EvaluationResults"]
    }
    assert by == {"allowed": ["PolicyInputList.1"], "implicitDeny": [], "explicitDeny": ["PolicyInputList.2"]}
    [specific] = answer["EvaluationResults"][0]["ResourceSpecificResults"]
    assert (specific["EvalResourceName"], specific["EvalResourceDecision"]) == (SECRET, "allowed")


def test_what_the_request_would_say_counts_and_what_is_not_said_is_named(iam):
    document = policy(
        allow(GET, "arn:aws:secretsmanager:*:*:secret:${aws:username}/*", StringEquals={"aws:ResourceTag/Team": "blue"}),
        allow("secretsmanager:TagResource", "*", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}}),
    )
    ask = lambda action, resource, *context: iam.simulate_custom_policy(
        PolicyInputList=[document], ActionNames=[action], ResourceArns=[resource], ContextEntries=list(context)
    )["EvaluationResults"][0]
    team = text("aws:ResourceTag/team", "blue")
    assert ask(GET, SECRET, text("AWS:UserName", "app"), team)["EvalDecision"] == "allowed"
    assert ask(GET, SECRET, text("aws:username", "other"), team)["EvalDecision"] == "implicitDeny"
    lacking = ask(GET, SECRET, team)
    assert lacking["MissingContextValues"] == []
    [specific] = lacking["ResourceSpecificResults"]
    assert specific["MissingContextValues"] == ["aws:username", "aws:TagKeys"]
    tags = lambda *keys: text("aws:TagKeys", *keys, kind="stringList")
    tag = "secretsmanager:TagResource"
    assert ask(tag, SECRET, tags("Team"))["EvalDecision"] == "allowed"
    assert ask(tag, SECRET, tags("Team", "Owner"))["EvalDecision"] == "implicitDeny"


def test_a_boundary_and_a_policy_of_the_resource(iam, target):
    both = lambda **more: iam.simulate_custom_policy(ActionNames=[GET, PUT], ResourceArns=[SECRET], **more)
    bounded = both(PolicyInputList=[policy(allow("*"))], PermissionsBoundaryPolicyInputList=[policy(allow(GET))])
    assert decisions(bounded) == {(GET, SECRET): "allowed", (PUT, SECRET): "implicitDeny"}
    assert [result["PermissionsBoundaryDecisionDetail"] for result in bounded["EvaluationResults"]] == [
        {"AllowedByPermissionsBoundary": True},
        {"AllowedByPermissionsBoundary": False},
    ]

    alice = f"arn:aws:iam::{target.account}:user/alice"
    on_secret = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": alice}, "Action": GET, "Resource": "*"}],
        }
    )
    nothing = policy(allow("s3:*"))
    asked = dict(PolicyInputList=[nothing], ResourcePolicy=on_secret)
    given = both(CallerArn=alice, **asked)
    assert decisions(given) == {(GET, SECRET): "allowed", (PUT, SECRET): "implicitDeny"}
    [matched] = given["EvaluationResults"][0]["MatchedStatements"]
    assert (matched["SourcePolicyId"], matched["SourcePolicyType"]) == ("ResourcePolicy", "Resource Policy")
    assert decisions(both(CallerArn=alice[:-5] + "bob", **asked))[GET, SECRET] == "implicitDeny"
    # In another account both must allow.
    abroad = dict(CallerArn=alice, ResourceOwner="arn:aws:iam::999999999999:root", ResourcePolicy=on_secret)
    assert decisions(both(PolicyInputList=[nothing], **abroad))[GET, SECRET] == "implicitDeny"
    assert decisions(both(PolicyInputList=[policy(allow(GET))], **abroad))[GET, SECRET] == "allowed"
    with refused("InvalidInput", 400, "CallerArn"):
        both(**asked)


def test_the_policies_of_users_groups_and_roles(iam, target):
    name, _ = new_user(target, allow(GET, SECRET))
    group, role = unique("group"), unique("role")
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="team", PolicyDocument=policy(deny(PUT), allow("s3:*")))
    iam.add_user_to_group(GroupName=group, UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/SecretsManagerReadWrite")
    arn = lambda kind, name: f"arn:aws:iam::{target.account}:{kind}/{name}"
    ask = lambda source, **more: iam.simulate_principal_policy(
        PolicySourceArn=source, ActionNames=[GET, PUT], ResourceArns=[SECRET], **more
    )
    answer = ask(arn("user", name))
    assert decisions(answer) == {(GET, SECRET): "allowed", (PUT, SECRET): "explicitDeny"}
    read, write = answer["EvaluationResults"]
    assert sorted(matched["SourcePolicyId"] for matched in read["MatchedStatements"]) == [
        "SecretsManagerReadWrite",
        "own",
    ]
    assert [matched["SourcePolicyId"] for matched in write["MatchedStatements"]] == ["team"]
    assert decisions(ask(arn("group", group)))[GET, SECRET] == "implicitDeny"
    more = ask(arn("group", group), PolicyInputList=[policy(allow(GET))])
    assert decisions(more)[GET, SECRET] == "allowed"

    # What somebody has is bounded as it is, unless another boundary is to be tried.
    boundary = iam.create_policy(PolicyName=unique("bounds"), PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
    bounded = ask(arn("user", name))
    assert decisions(bounded)[GET, SECRET] == "implicitDeny"
    assert bounded["EvaluationResults"][0]["PermissionsBoundaryDecisionDetail"] == {
        "AllowedByPermissionsBoundary": False
    }
    wider = ask(arn("user", name), PermissionsBoundaryPolicyInputList=[policy(allow("*"))])
    assert decisions(wider)[GET, SECRET] == "allowed"

    trust = json.loads(policy(allow("sts:AssumeRole")))
    del trust["Statement"][0]["Resource"]
    trust["Statement"][0]["Principal"] = {"AWS": target.account}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust), Path="/app/")
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=policy(allow(PUT, SECRET)))
    assert decisions(ask(arn("role/app", role))) == {(GET, SECRET): "implicitDeny", (PUT, SECRET): "allowed"}
    with refused("NoSuchEntity", 404, f"The role with name {role} cannot be found."):
        ask(arn("role", role))
    with refused("NoSuchEntity", 404):
        ask(arn("user", unique("nobody")))
    wrong = f"arn:aws:sts::{target.account}:assumed-role/{role}/session"
    with refused("InvalidInput", 400, f"Invalid Entity Arn: {wrong} does not clearly define entity type and name."):
        ask(wrong)


def test_what_it_answers_is_what_happens(iam, target, name):
    """The simulator and the gate are one engine; here they are asked the same."""
    secret = target.client().create_secret(Name=name, SecretString="v")["ARN"]
    for statement, expected in [
        (allow(GET, secret), "allowed"),
        (allow(GET, secret[:-7]), "implicitDeny"),
        (deny(GET, secret), "explicitDeny"),
    ]:
        user, keys = new_user(target, statement)
        answer = iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{target.account}:user/{user}", ActionNames=[GET], ResourceArns=[secret]
        )
        assert decisions(answer) == {(GET, secret): expected}
        reader = target.client(keys=keys)
        if expected == "allowed":
            assert reader.get_secret_value(SecretId=secret)["SecretString"] == "v"
        else:
            with refused("AccessDeniedException"):
                reader.get_secret_value(SecretId=secret)


def test_results_come_in_pages(iam):
    resources = [f"arn:aws:secretsmanager:us-east-1:123456789012:secret:app/{n}-AbCdEf" for n in range(7)]
    asked = dict(PolicyInputList=[policy(allow(GET))], ActionNames=[GET], ResourceArns=resources)
    first = iam.simulate_custom_policy(MaxItems=3, **asked)
    assert first["IsTruncated"] and len(first["EvaluationResults"]) == 3
    pages = iam.get_paginator("simulate_custom_policy").paginate(PaginationConfig={"PageSize": 3}, **asked)
    assert [result["EvalResourceName"] for result in pages.search("EvaluationResults")] == resources
    with refused("ValidationError", 400):
        iam.simulate_custom_policy(Marker="none", **asked)


def test_long_policies_are_tried_in_short_pages(iam):
    """However much is asked, a page takes a bounded time; the rest is the next page's."""
    wide = policy(*[allow(GET, f"arn:aws:secretsmanager:*:*:secret:{n}*?*?*?*x") for n in range(60)])
    asked = dict(PolicyInputList=[wide] * 20, ActionNames=[GET] * 500)
    first = iam.simulate_custom_policy(MaxItems=1000, **asked)
    assert first["IsTruncated"] and 0 < len(first["EvaluationResults"]) < 500


def test_what_cannot_be_tried_is_refused(iam):
    ask = lambda **more: iam.simulate_custom_policy(
        **{"PolicyInputList": [policy(allow(GET))], "ActionNames": [GET], **more}
    )
    with refused("InvalidInput", 400, "ResourceNames are not in a valid ARN format: app/db."):
        ask(ResourceArns=["app/db"])
    for action in ["secretsmanager:Get*", "GetSecretValue", "*:*"]:
        with refused("InvalidInput", 400, action):
            ask(ActionNames=[action])
    with refused("InvalidInput", 400, "PolicyInputList.2"):
        ask(PolicyInputList=[policy(allow(GET)), "{}"])
    with refused("InvalidInput", 400, "c:key"):
        ask(ContextEntries=[text("c:key", "a", "b")])
    with refused("InvalidInput", 400, "CallerArn"):
        ask(CallerArn="arn:aws:iam::123456789012:role/app")
    with refused("ValidationError", 400, "ContextKeyType"):
        ask(ContextEntries=[text("c:key", "a", kind="text")])
    with refused("ValidationError", 400, "permissionsBoundaryPolicyInputList"):
        ask(PermissionsBoundaryPolicyInputList=[policy(allow(GET))] * 2)


def test_which_keys_policies_ask_for(iam, target):
    document = policy(
        allow(
            "dynamodb:*",
            "arn:aws:dynamodb:us-west-2:123456789012:table/${aws:username}",
            DateGreaterThan={"aws:CurrentTime": "2015-08-16T12:00:00Z"},
        )
    )
    keys = ["aws:username", "aws:CurrentTime"]
    assert iam.get_context_keys_for_custom_policy(PolicyInputList=[document])["ContextKeyNames"] == keys
    name, _ = new_user(target, json.loads(document)["Statement"][0])
    arn = f"arn:aws:iam::{target.account}:user/{name}"
    assert iam.get_context_keys_for_principal_policy(PolicySourceArn=arn)["ContextKeyNames"] == keys
    other = policy(allow(GET, "*", Bool={"AWS:SecureTransport": "true", "aws:currenttime": "true"}))
    more = iam.get_context_keys_for_principal_policy(PolicySourceArn=arn, PolicyInputList=[other])
    assert more["ContextKeyNames"] == [*keys, "AWS:SecureTransport"]


def test_which_policies_allow_something_of_a_service(iam, target):
    name, _ = new_user(target, allow(GET), deny("kms:*"))
    group = unique("group")
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="team", PolicyDocument=policy(allow("kms:Decrypt")))
    iam.add_user_to_group(GroupName=group, UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    answer = iam.list_policies_granting_service_access(
        Arn=f"arn:aws:iam::{target.account}:user/{name}", ServiceNamespaces=["secretsmanager", "kms", "iam", "s3"]
    )
    assert not answer["IsTruncated"]
    assert {of["ServiceNamespace"]: of["Policies"] for of in answer["PoliciesGrantingServiceAccess"]} == {
        "secretsmanager": [
            {"PolicyName": "own", "PolicyType": "INLINE", "EntityType": "USER", "EntityName": name}
        ],
        "kms": [{"PolicyName": "team", "PolicyType": "INLINE", "EntityType": "GROUP", "EntityName": group}],
        "iam": [
            {
                "PolicyName": "IAMReadOnlyAccess",
                "PolicyType": "MANAGED",
                "PolicyArn": "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
            }
        ],
        "s3": [],
    }


def test_what_would_take_long_is_refused_before_it_is_tried(iam):
    resource = "arn:aws:s3:::*" + "a?" * 4000 + "b*"
    ask = lambda value: iam.simulate_custom_policy(
        PolicyInputList=[policy({"Effect": "Allow", "Action": "*", "Resource": resource})],
        ActionNames=["s3:GetObject"],
        ResourceArns=["arn:aws:s3:::x"],
        ContextEntries=[text("aws:PrincipalTag/x", value)],
    )
    assert [result["EvalDecision"] for result in ask("a" * 1000)["EvaluationResults"]] == ["implicitDeny"]
    with refused("InvalidInput", 400, "too long"):
        ask("a" * 130_000)


@pytest.mark.parametrize(
    "pattern, values",
    [
        ("*" + "a?" * 2000 + "b*", ["a" * 250] * 900),
        ("*?${aws:PrincipalTag/x}" * 50, ["a" * 65_000]),
        ("*" + " a" * 4000 + "b*", [" a" * 30_000]),
    ],
    ids=["a list", "variables", "white space"],
)
def test_nothing_makes_what_is_tried_longer_than_it_is_counted(iam, pattern, values):
    condition = {"ForAnyValue:StringLike": {"aws:PrincipalTag/x": pattern}}
    of_list = {"ContextKeyName": "aws:PrincipalTag/x", "ContextKeyValues": values, "ContextKeyType": "stringList"}
    document = policy(allow("*", **condition))
    for spelled in (document, document.replace("$", "\\u0024"), document.replace("${", "$\\u007B")):
        began = time.monotonic()
        with refused("InvalidInput", 400, "too long"):
            iam.simulate_custom_policy(
                PolicyInputList=[spelled], ActionNames=["s3:GetObject"], ContextEntries=[of_list]
            )
        assert time.monotonic() - began < 5
