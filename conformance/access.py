"""Clients of IAM and STS, and principals made for one test.

I/O: talks to the coffer under test. Invariant: names are new each time, so nothing has to be emptied between tests.
"""

import json
import uuid
from contextlib import contextmanager

import boto3
import pytest
import serving
from botocore.config import Config
from botocore.exceptions import ClientError


def client(target, service, keys=None, region=serving.REGION):
    """boto3 without retries; `keys` are an id and a secret, and a session's token if there is one."""
    access_key_id, secret_access_key, *token = keys or target.keys
    return boto3.client(
        service,
        endpoint_url=target.endpoint,
        region_name=region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        aws_session_token=token[0] if token else None,
        config=Config(retries={"total_max_attempts": 1}),
    )


def unique(prefix="x"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def policy(*statements, version="2012-10-17"):
    return json.dumps({"Version": version, "Statement": list(statements)})


def allow(action, resource="*", **condition):
    return _statement("Allow", action, resource, condition)


def deny(action, resource="*", **condition):
    return _statement("Deny", action, resource, condition)


def _statement(effect, action, resource, condition):
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def new_user(target, *statements, **more):
    """A user with these statements in a policy of its own: its name and its keys."""
    iam = client(target, "iam")
    name = unique("user")
    iam.create_user(UserName=name, **more)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return name, new_keys(target, name)


def new_keys(target, user):
    key = client(target, "iam").create_access_key(UserName=user)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@contextmanager
def refused(code, status=None, words=None):
    """The block must be refused with this code and, if given, this status and a message with these words in it."""
    with pytest.raises(ClientError) as caught:
        yield caught
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer["Error"]
    assert status in (None, answer["ResponseMetadata"]["HTTPStatusCode"])
    assert words is None or words in answer["Error"]["Message"], answer["Error"]["Message"]
