"""The official caching library for Python, unmodified, over botocore; conformance/README.md says what a line means."""

import os
import sys
import time
import traceback
import urllib.request
import uuid

import botocore.session
from aws_secretsmanager_caching import InjectKeywordedSecretString, InjectSecretString, SecretCache, SecretCacheConfig

COUNTING_URL = os.environ["COFFER_COUNTING_URL"]
session = botocore.session.get_session()
client = session.create_client("secretsmanager")


def unique():
    return f"python-caching/{uuid.uuid4()}"


def cache(**config):
    """As people make it, but through the proxy that counts."""
    counted = session.create_client("secretsmanager", endpoint_url=COUNTING_URL)
    return SecretCache(config=SecretCacheConfig(**config), client=counted)


def requests(operation, name):
    with urllib.request.urlopen(f"{COUNTING_URL}/{operation}/{name}") as answer:
        return int(answer.read())


def a_cache_made_from_the_environment_alone():
    name = unique()
    client.create_secret(Name=name, SecretString="one")
    assert SecretCache().get_secret_string(name) == "one"


def a_second_read_asks_nothing():
    name = unique()
    client.create_secret(Name=name, SecretString="one")
    cached = cache()
    assert [cached.get_secret_string(name) for _ in range(5)] == ["one"] * 5
    assert (requests("DescribeSecret", name), requests("GetSecretValue", name)) == (1, 1)


def a_binary_value():
    name = unique()
    client.create_secret(Name=name, SecretBinary=bytes(range(256)))
    cached = cache()
    assert cached.get_secret_binary(name) == bytes(range(256))
    assert cached.get_secret_string(name) is None


def a_stage_other_than_the_current_one():
    name = unique()
    client.create_secret(Name=name, SecretString="one")
    client.put_secret_value(SecretId=name, SecretString="two")
    cached = cache()
    assert cached.get_secret_string(name, "AWSPREVIOUS") == "one"
    assert cached.get_secret_string(name) == "two"
    assert cached.get_secret_string(name, "AWSPENDING") is None


def a_new_version_once_the_interval_is_over():
    name = unique()
    client.create_secret(Name=name, SecretString="one")
    cached = cache(secret_refresh_interval=2)
    assert cached.get_secret_string(name) == "one"
    client.put_secret_value(SecretId=name, SecretString="two")
    time.sleep(2.1)
    assert cached.get_secret_string(name) == "two"
    assert requests("GetSecretValue", name) == 2


def a_refresh_on_demand():
    name = unique()
    client.create_secret(Name=name, SecretString="one")
    cached = cache()
    assert cached.get_secret_string(name) == "one"
    client.put_secret_value(SecretId=name, SecretString="two")
    assert cached.get_secret_string(name) == "one"
    assert cached.refresh_secret_now(name)
    assert cached.get_secret_string(name) == "two"


def a_secret_that_is_not_there():
    cached = cache()
    try:
        cached.get_secret_string(unique())
    except client.exceptions.ResourceNotFoundException as error:
        assert error.response["Error"]["Code"] == "ResourceNotFoundException"
    else:
        raise AssertionError("answered")


def secrets_put_into_arguments():
    name = unique()
    client.create_secret(Name=name, SecretString='{"user":"app","password":"secret"}')
    cached = cache()

    @InjectSecretString(name, cached)
    def whole(value):
        return value

    @InjectKeywordedSecretString(name, cached, user="user", password="password")
    def by_key(user=None, password=None):
        return user, password

    assert whole() == '{"user":"app","password":"secret"}'
    assert by_key() == ("app", "secret")


CASES = [
    a_cache_made_from_the_environment_alone,
    a_second_read_asks_nothing,
    a_binary_value,
    a_stage_other_than_the_current_one,
    a_new_version_once_the_interval_is_over,
    a_refresh_on_demand,
    a_secret_that_is_not_there,
    secrets_put_into_arguments,
]

if __name__ == "__main__":
    failed = 0
    for case in CASES:
        name = case.__name__.replace("_", " ")
        try:
            case()
            print(f"ok {name}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {name}: {traceback.format_exc().strip()}".replace("\n", " | "), flush=True)
    sys.exit(1 if failed else 0)
