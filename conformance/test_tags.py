"""TagResource and UntagResource: what is told of tags, and what is refused."""

import pytest
from conftest import SECRET_NOT_FOUND, refused

TOO_MANY = "You can't attach more than 50 tags to a secret."
TWICE = "You can't use the same tag key more than once."


def pairs(**tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def test_never_tagged_tagged_and_no_longer_tagged(client, name):
    """Recorded from AWS by localstack's test_secret_tags: absent, listed, and an empty list."""
    client.create_secret(Name=name, SecretString="v")
    client.untag_resource(SecretId=name, TagKeys=["a"])
    assert "Tags" not in client.describe_secret(SecretId=name)
    client.tag_resource(SecretId=name, Tags=pairs(a="1", b="2"))
    assert client.describe_secret(SecretId=name)["Tags"] == pairs(a="1", b="2")
    client.untag_resource(SecretId=name, TagKeys=["a", "b"])
    assert client.describe_secret(SecretId=name)["Tags"] == []


def test_a_key_that_is_there_gets_the_new_value(client, name):
    client.create_secret(Name=name, SecretString="v", Tags=pairs(a="1", b="2"))
    client.tag_resource(SecretId=name, Tags=pairs(c="3", a="9"))
    assert sorted(client.describe_secret(SecretId=name)["Tags"], key=str) == pairs(a="9", b="2", c="3")


def test_untagging_is_idempotent_and_the_answers_are_empty(target, client, name):
    arn = client.create_secret(Name=name, SecretString="v", Tags=pairs(a="1"))["ARN"]
    for _ in range(2):
        answer = target.call("UntagResource", {"SecretId": arn, "TagKeys": ["a", "never"]})
        assert (answer.status, answer.body) == (200, b"")
    answer = target.call("TagResource", {"SecretId": arn, "Tags": []})
    assert (answer.status, answer.body) == (200, b"")


def test_tags_are_told_in_lists_too(target, region):
    client = target.client(region)
    client.create_secret(Name="s", SecretString="v")
    client.tag_resource(SecretId="s", Tags=pairs(a="1"))
    assert client.list_secrets()["SecretList"][0]["Tags"] == pairs(a="1")


def test_fifty_tags_and_no_more(client, name):
    client.create_secret(Name=name, SecretString="v")
    client.tag_resource(SecretId=name, Tags=pairs(**{f"k{n}": "" for n in range(50)}))
    client.tag_resource(SecretId=name, Tags=pairs(k0="again"))
    with refused("InvalidParameterException", TOO_MANY):
        client.tag_resource(SecretId=name, Tags=pairs(k50=""))
    client.untag_resource(SecretId=name, TagKeys=["k0"])
    client.tag_resource(SecretId=name, Tags=pairs(k50=""))
    assert len(client.describe_secret(SecretId=name)["Tags"]) == 50


def test_the_longest_key_and_value(client, name):
    longest = [{"Key": "k" * 128, "Value": "é" * 256}]
    client.create_secret(Name=name, SecretString="v")
    client.tag_resource(SecretId=name, Tags=longest)
    assert client.describe_secret(SecretId=name)["Tags"] == longest
    client.untag_resource(SecretId=name, TagKeys=["k" * 128])
    assert client.describe_secret(SecretId=name)["Tags"] == []


@pytest.mark.parametrize(
    "tags, code",
    [
        ([{"Key": "aws:x", "Value": "v"}], "InvalidParameterException"),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "InvalidParameterException"),
        ([{"Key": "k" * 129, "Value": ""}], "ValidationException"),
        ([{"Key": "k", "Value": "v" * 257}], "ValidationException"),
        ([{"Value": "v"}], "ValidationException"),
    ],
    ids=["a reserved key", "a key twice", "too long a key", "too long a value", "no key"],
)
def test_tags_that_are_refused(target, client, name, tags, code):
    client.create_secret(Name=name, SecretString="v")
    answer = target.call("TagResource", {"SecretId": name, "Tags": tags})
    assert (answer.status, answer.code) == (400, code)
    assert "Tags" not in client.describe_secret(SecretId=name)


def test_a_key_twice_says_so(client, name):
    client.create_secret(Name=name, SecretString="v")
    with refused("InvalidParameterException", TWICE):
        client.tag_resource(SecretId=name, Tags=[{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "1"}])


def test_no_such_secret(client, name):
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.tag_resource(SecretId=name, Tags=pairs(a="1"))
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.untag_resource(SecretId=name, TagKeys=["a"])
