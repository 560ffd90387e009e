"""GetRandomPassword: every parameter, alone and at its limits."""

import string

import pytest
from conftest import refused

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
TYPES = [string.ascii_lowercase, string.ascii_uppercase, string.digits, PUNCTUATION]
TOO_SHORT = "Password length is too short based on the required types."


def has_each(password, types):
    return all(any(character in of for character in password) for of in types)


def test_by_default(client):
    made = [client.get_random_password() for _ in range(20)]
    assert all(set(answer) == {"RandomPassword", "ResponseMetadata"} for answer in made)
    passwords = [answer["RandomPassword"] for answer in made]
    assert len(set(passwords)) == 20
    for password in passwords:
        assert len(password) == 32 and has_each(password, TYPES) and set(password) <= set("".join(TYPES))


@pytest.mark.parametrize(
    "switch, excluded",
    [("ExcludeLowercase", 0), ("ExcludeUppercase", 1), ("ExcludeNumbers", 2), ("ExcludePunctuation", 3)],
)
def test_a_type_that_is_excluded(client, switch, excluded):
    password = client.get_random_password(PasswordLength=400, **{switch: True})["RandomPassword"]
    assert not set(password) & set(TYPES[excluded])
    assert has_each(password, TYPES[:excluded] + TYPES[excluded + 1 :])


def test_characters_that_are_excluded(client):
    password = client.get_random_password(PasswordLength=4096, ExcludeCharacters="abcABC019\"\\/é")["RandomPassword"]
    assert not set(password) & set("abcABC019\"\\/é")
    assert set(password) == set("".join(TYPES)) - set("abcABC019\"\\/")


def test_a_space_only_if_asked_for(client):
    assert " " not in client.get_random_password(PasswordLength=4096)["RandomPassword"]
    assert " " in client.get_random_password(PasswordLength=4096, IncludeSpace=True)["RandomPassword"]


def test_the_shortest(client):
    assert has_each(client.get_random_password(PasswordLength=4)["RandomPassword"], TYPES)
    with refused("InvalidParameterException", TOO_SHORT):
        client.get_random_password(PasswordLength=3)
    assert len(client.get_random_password(PasswordLength=3, ExcludePunctuation=True)["RandomPassword"]) == 3


def test_nothing_left_to_choose_from(client):
    with refused("InvalidParameterException"):
        client.get_random_password(ExcludeCharacters="".join(TYPES))


@pytest.mark.parametrize("length", [0, -1, 4097])
def test_lengths_outside_the_model(target, length):
    answer = target.call("GetRandomPassword", {"PasswordLength": length})
    assert (answer.status, answer.code) == (400, "ValidationException")
