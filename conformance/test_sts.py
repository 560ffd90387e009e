"""STS through boto3: who the caller is, in any region, whatever its policies say."""

import pytest
import serving
from access import client


def sts(target, keys=None, region=serving.REGION):
    return client(target, "sts", keys, region)


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

