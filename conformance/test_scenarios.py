"""The policies people wrote for their own applications, from both sides: what each lets in, and whom it keeps out.

Three shapes: a migration plan's Lambda role over three prefixes with a statement about KMS, and its stricter variant; a ticket's managed
policy held to a tag; and a bot's keys, read as a role. Through boto3, and where the plan has commands, through the aws CLI.
"""

import json
import pathlib
import subprocess
import sys

import pytest
import serving
from access import allow, client, deny, new_user, policy, refused, unique
from test_sts import assume, read, trust

GET = "secretsmanager:GetSecretValue"
DESCRIBE = "secretsmanager:DescribeSecret"
LAMBDA = "lambda.amazonaws.com"


def of(prefix):
    return f"arn:aws:secretsmanager:us-east-1:*:secret:{prefix}/*"


def plan(prefix, **condition):
    """The migration plan's policy; `prefix` stands for its `btc-agent`."""
    resources = [of(f"{prefix}/{part}") for part in ("twitter", "coingecko", "glassnode")]
    return policy(
        allow([GET, DESCRIBE], resources, **condition),
        allow(
            ["kms:Decrypt", "kms:DescribeKey"],
            "arn:aws:kms:us-east-1:*:key/*",
            StringEquals={"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"},
        ),
    )


def role_for(target, document):
    """A role with a managed policy that Lambda and one user may take on: a session of it."""
    iam = client(target, "iam")
    user, keys = new_user(target)
    name = unique("BTCAgentLambdaExecutionRole")
    trusted = json.loads(trust(f"arn:aws:iam::{target.account}:user/{user}"))
    trusted["Statement"].append({"Effect": "Allow", "Principal": {"Service": LAMBDA}, "Action": "sts:AssumeRole"})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted))["Role"]["Arn"]
    managed = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    return assume(target, keys, arn)


def make(client, name, value="v", **more):
    return client.create_secret(Name=name, SecretString=value, **more)["ARN"]


@pytest.fixture
def agent(client):
    """The plan's secrets under a prefix of their own, one beside them, and one that only looks like them."""
    prefix = unique("btc-agent")
    for part in ("twitter/credentials", "coingecko/api-key", "glassnode/api-key", "twitter-archive/old", "database/password"):
        make(client, f"{prefix}/{part}", json.dumps({"api_key": part}))
    return prefix


THEIRS = ("twitter/credentials", "coingecko/api-key", "glassnode/api-key")
OTHERS = ("twitter-archive/old", "database/password")


def test_the_plans_role_reads_its_three_prefixes_and_nothing_else(target, agent):
    session = role_for(target, plan(agent))
    secrets = client(target, "secretsmanager", session)
    for part in THEIRS:
        name = f"{agent}/{part}"
        assert json.loads(read(target, session, name)) == {"api_key": part}
        assert secrets.describe_secret(SecretId=name)["Name"] == name
    for part in OTHERS:
        with refused("AccessDeniedException", 400, f"because no identity-based policy allows the {GET} action"):
            read(target, session, f"{agent}/{part}")
        with refused("AccessDeniedException"):
            secrets.describe_secret(SecretId=f"{agent}/{part}")
    name = f"{agent}/{THEIRS[0]}"
    for attempt in (
        lambda: secrets.put_secret_value(SecretId=name, SecretString="w"),
        lambda: secrets.update_secret(SecretId=name, Description="d"),
        lambda: secrets.delete_secret(SecretId=name),
        lambda: secrets.list_secret_version_ids(SecretId=name),
        lambda: secrets.tag_resource(SecretId=name, Tags=[{"Key": "k", "Value": "v"}]),
        lambda: secrets.create_secret(Name=f"{agent}/twitter/other", SecretString="v"),
        lambda: secrets.list_secrets(),
    ):
        with refused("AccessDeniedException", 400):
            attempt()
    with refused("AccessDenied", 403):
        client(target, "iam", session).list_users()


def test_the_plans_policy_is_for_us_east_1(target, agent):
    session = role_for(target, plan(agent))
    make(target.client("eu-west-1"), f"{agent}/twitter/credentials")
    with refused("AccessDeniedException", 400):
        client(target, "secretsmanager", session, "eu-west-1").get_secret_value(SecretId=f"{agent}/twitter/credentials")


def test_the_plans_stricter_variant_holds_to_the_region_asked(target, agent):
    strict = plan(agent, StringEquals={"aws:RequestedRegion": "us-east-1"})
    session = role_for(target, strict)
    arn = target.client().describe_secret(SecretId=f"{agent}/twitter/credentials")["ARN"]
    assert read(target, session, arn)
    elsewhere = plan(agent, StringEquals={"aws:RequestedRegion": "eu-west-1"})
    with refused("AccessDeniedException", 400):
        read(target, role_for(target, elsewhere), arn)


def test_a_missing_secret_of_the_plans_says_so_and_a_foreign_one_does_not(target, agent):
    session = role_for(target, plan(agent))
    with refused("ResourceNotFoundException", 400):
        read(target, session, f"{agent}/twitter/none")
    with refused("AccessDeniedException", 400):
        read(target, session, f"{agent}/none")


def ticket(prefix):
    return policy(
        allow(
            [GET, DESCRIBE],
            f"arn:aws:secretsmanager:us-east-1:*:secret:{prefix}/api-credentials-??????",
            StringEquals={"secretsmanager:ResourceTag/Project": "Signal9Advisor"},
        )
    )


def test_the_tickets_policy_reads_by_tag(target, client):
    prefix = unique("signal9-advisor")
    name = f"{prefix}/api-credentials"
    fields = {"alphaVantageApiKey": "", "alpacaApiKey": "", "alpacaApiSecret": "", "placeholder": "x"}
    project = {"Key": "Project", "Value": "Signal9Advisor"}
    make(client, name, json.dumps(fields), Tags=[project])
    make(client, f"{prefix}/other", Tags=[project])
    session = role_for(target, ticket(prefix))
    assert json.loads(read(target, session, name)) == fields
    with refused("AccessDeniedException", 400):
        read(target, session, f"{prefix}/other")
    # Without its tag, or with another's, it is not the ticket's secret any more, from the next request on.
    client.tag_resource(SecretId=name, Tags=[{"Key": "Project", "Value": "Signal9advisor"}])
    with refused("AccessDeniedException", 400):
        read(target, session, name)
    client.untag_resource(SecretId=name, TagKeys=["Project"])
    with refused("AccessDeniedException", 400):
        read(target, session, name)
    client.tag_resource(SecretId=name, Tags=[project])
    assert read(target, session, name)


def test_the_tickets_role_cannot_tag_its_way_in(target, client):
    prefix = unique("signal9-advisor")
    name = f"{prefix}/api-credentials"
    make(client, name, Tags=[{"Key": "Project", "Value": "Other"}])
    session = role_for(target, ticket(prefix))
    with refused("AccessDeniedException", 400, "secretsmanager:TagResource"):
        target_client(target, session).tag_resource(SecretId=name, Tags=[{"Key": "Project", "Value": "Signal9Advisor"}])


def target_client(target, keys):
    return client(target, "secretsmanager", keys)


def test_the_wrong_role_is_denied_and_told_what_was_missing(target, client):
    """The ticket's acceptance: another application's role, with the same policy about its own secret."""
    mine, theirs = unique("signal9-advisor"), unique("other-app")
    name = f"{mine}/api-credentials"
    make(client, name, Tags=[{"Key": "Project", "Value": "Signal9Advisor"}])
    with refused("AccessDeniedException", 400) as caught:
        read(target, role_for(target, ticket(theirs)), name)
    said = caught.value.response["Error"]["Message"]
    assert said.startswith(f"User: arn:aws:sts::{target.account}:assumed-role/BTCAgentLambdaExecutionRole-")
    assert said.endswith(f"on resource: {name} because no identity-based policy allows the {GET} action")


def test_the_bots_operator_updates_and_its_bot_only_reads(target, client):
    """A guide's bot: the bot reads its keys; whoever is on call replaces them, and sees the versions."""
    name = unique("twitter-api-key")
    arn = make(client, name, json.dumps({"X_API_KEY": "one"}))
    _, bot = new_user(target, allow(GET, arn))
    _, on_call = new_user(target, allow(["secretsmanager:UpdateSecret", "secretsmanager:ListSecretVersionIds"], arn), deny(GET))
    target_client(target, on_call).update_secret(SecretId=name, SecretString=json.dumps({"X_API_KEY": "two"}))
    assert len(target_client(target, on_call).list_secret_version_ids(SecretId=name)["Versions"]) == 2
    assert json.loads(read(target, bot, name)) == {"X_API_KEY": "two"}
    with refused("AccessDeniedException", 400):
        target_client(target, bot).update_secret(SecretId=name, SecretString="{}")
    with refused("AccessDeniedException", 400, "with an explicit deny in an identity-based policy"):
        read(target, on_call, name)


def aws(target, keys, *arguments, fails=None):
    """The aws CLI as the plan's commands use it."""
    access_key_id, secret_access_key, *token = keys
    session = {"AWS_SESSION_TOKEN": token[0]} if token else {}
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("aws"), "--endpoint-url", target.endpoint, *arguments],
        capture_output=True,
        text=True,
        env=serving.clean_environment(
            HOME="/nonexistent",
            AWS_ACCESS_KEY_ID=access_key_id,
            AWS_SECRET_ACCESS_KEY=secret_access_key,
            AWS_DEFAULT_REGION=serving.REGION,
            AWS_PAGER="",
            AWS_MAX_ATTEMPTS="1",
            **session,
        ),
        timeout=60,
    )
    if fails:
        assert done.returncode != 0 and fails in done.stderr, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_plans_own_commands(target, agent, tmp_path):
    """create-policy from a file, attach-role-policy, assume-role, and a read on either side."""
    name = unique("BTCAgentSecretsPolicy")
    document = tmp_path / "policy.json"
    document.write_text(plan(agent))
    made = aws(target, target.keys, "iam", "create-policy", "--policy-name", name, "--policy-document", f"file://{document}")
    user, keys = new_user(target)
    document.write_text(trust(f"arn:aws:iam::{target.account}:user/{user}"))
    role = aws(target, target.keys, "iam", "create-role", "--role-name", name, "--assume-role-policy-document", f"file://{document}")
    attach = ("iam", "attach-role-policy", "--role-name", name, "--policy-arn", made["Policy"]["Arn"])
    aws(target, target.keys, *attach)
    assumed = aws(target, keys, "sts", "assume-role", "--role-arn", role["Role"]["Arn"], "--role-session-name", "agent")
    credentials = assumed["Credentials"]
    session = credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    get = ("secretsmanager", "get-secret-value", "--secret-id")
    answer = aws(target, session, *get, f"{agent}/twitter/credentials")
    assert json.loads(answer["SecretString"]) == {"api_key": "twitter/credentials"}
    aws(target, session, *get, f"{agent}/database/password", fails="AccessDeniedException")
    aws(target, keys, *get, f"{agent}/twitter/credentials", fails="AccessDeniedException")
    aws(target, session, *attach, fails="AccessDenied")
