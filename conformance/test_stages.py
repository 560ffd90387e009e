"""Staging labels: which version a name like AWSCURRENT points at, after puts and after explicit moves.

A label sits on at most one version. Whenever AWSCURRENT moves, AWSPREVIOUS moves to the version it left. The
sequences below are those recorded from AWS in LocalStack's snapshots.
"""

import re

import pytest
from conftest import INVALID_NAME, SECRET_NOT_FOUND, new_token, refused


class History:
    """A secret whose versions are called v1, v2, v3 … in a test's sentences."""

    def __init__(self, client, name):
        self.client, self.name = client, name
        self.versions = [client.create_secret(Name=name, SecretString="v1")["VersionId"]]

    def put(self, *stages):
        more = {"VersionStages": list(stages)} if stages else {}
        put = self.client.put_secret_value(SecretId=self.name, SecretString=f"v{len(self.versions) + 1}", **more)
        self.versions.append(put["VersionId"])
        return put["VersionStages"]

    def move(self, stage, to=None, leave=None):
        """Moves `stage` to version number `to`, away from version number `leave`."""
        parameters = {"SecretId": self.name, "VersionStage": stage}
        if to is not None:
            parameters["MoveToVersionId"] = self.versions[to - 1]
        if leave is not None:
            parameters["RemoveFromVersionId"] = self.versions[leave - 1]
        return self.client.update_secret_version_stage(**parameters)

    def labels(self):
        """Labels of each version that has any: `{1: ["AWSPREVIOUS"], 2: ["AWSCURRENT"]}`; both listings agree."""
        described = self.client.describe_secret(SecretId=self.name).get("VersionIdsToStages", {})
        number = {version: n for n, version in enumerate(self.versions, 1)}
        listed = self.client.list_secret_version_ids(SecretId=self.name)["Versions"]
        assert {entry["VersionId"]: sorted(entry["VersionStages"]) for entry in listed} == {
            version: sorted(stages) for version, stages in described.items()
        }
        return {
            number[version]: sorted(stages) for version, stages in sorted(described.items(), key=lambda i: number[i[0]])
        }

    def current(self):
        return self.client.get_secret_value(SecretId=self.name)["SecretString"]


@pytest.fixture
def history(client, name):
    return History(client, name)


def test_plain_puts(history):
    assert history.labels() == {1: ["AWSCURRENT"]}
    assert history.put() == ["AWSCURRENT"]
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT"]}
    history.put()
    assert history.labels() == {2: ["AWSPREVIOUS"], 3: ["AWSCURRENT"]}


def test_a_put_with_other_labels_leaves_current_where_it_is(history):
    assert history.put("SAMPLESTAGE1", "SAMPLESTAGE0") == ["SAMPLESTAGE0", "SAMPLESTAGE1"]
    assert history.current() == "v1"
    assert history.labels() == {1: ["AWSCURRENT"], 2: ["SAMPLESTAGE0", "SAMPLESTAGE1"]}
    history.put("SAMPLESTAGE1", "SAMPLESTAGE0")
    assert history.labels() == {1: ["AWSCURRENT"], 3: ["SAMPLESTAGE0", "SAMPLESTAGE1"]}
    history.put("AWSPENDING")
    history.put("AWSCURRENT")
    assert history.current() == "v5"
    assert history.labels() == {
        1: ["AWSPREVIOUS"],
        3: ["SAMPLESTAGE0", "SAMPLESTAGE1"],
        4: ["AWSPENDING"],
        5: ["AWSCURRENT"],
    }


def test_the_first_version_gets_current_whatever_was_asked(client, name):
    client.create_secret(Name=name)
    put = client.put_secret_value(SecretId=name, SecretString="v", VersionStages=["AWSPENDING"])
    assert "AWSCURRENT" in client.get_secret_value(SecretId=name, VersionId=put["VersionId"])["VersionStages"]
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


def test_labels_move_one_by_one_to_the_newest_put(history):
    assert history.put("one", "two", "three") == ["one", "three", "two"]
    assert history.put("one", "two", "four") == ["four", "one", "two"]
    assert history.labels() == {1: ["AWSCURRENT"], 2: ["three"], 3: ["four", "one", "two"]}


def test_a_rotation_by_labels(history):
    history.put("AWSPENDING")
    answer = history.move("AWSCURRENT", to=2, leave=1)
    assert set(answer) == {"ARN", "Name", "ResponseMetadata"}
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT", "AWSPENDING"]}
    assert history.current() == "v2"
    history.put("AWSPENDING")
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT"], 3: ["AWSPENDING"]}
    history.move("AWSCURRENT", to=3, leave=2)
    assert history.labels() == {2: ["AWSPREVIOUS"], 3: ["AWSCURRENT", "AWSPENDING"]}


def test_a_rotation_with_labels_of_ones_own(history):
    history.put("AWSPENDING", "AWSSOMETHING", "PUT1")
    history.move("AWSCURRENT", to=2, leave=1)
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT", "AWSPENDING", "AWSSOMETHING", "PUT1"]}
    history.put("AWSPENDING", "PUT2")
    history.move("AWSCURRENT", to=3, leave=2)
    assert history.labels() == {2: ["AWSPREVIOUS", "AWSSOMETHING", "PUT1"], 3: ["AWSCURRENT", "AWSPENDING", "PUT2"]}


def test_a_put_of_current_with_another_label(history):
    assert history.put("AWSCURRENT", "PUT0") == ["AWSCURRENT", "PUT0"]
    history.put("AWSPENDING", "PUT1")
    history.move("AWSCURRENT", to=3, leave=2)
    assert history.labels() == {2: ["AWSPREVIOUS", "PUT0"], 3: ["AWSCURRENT", "AWSPENDING", "PUT1"]}
    history.put("AWSPENDING", "PUT2")
    history.move("AWSCURRENT", to=4, leave=3)
    assert history.labels() == {
        2: ["PUT0"],
        3: ["AWSPREVIOUS", "PUT1"],
        4: ["AWSCURRENT", "AWSPENDING", "PUT2"],
    }


def test_a_label_can_be_taken_away(history):
    history.put("PENDING")
    history.move("AWSCURRENT", to=2, leave=1)
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT", "PENDING"]}
    history.move("PENDING", leave=2)
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT"]}


def test_rolling_back_swaps_current_and_previous(history):
    history.put()
    history.move("AWSCURRENT", to=1, leave=2)
    assert history.labels() == {1: ["AWSCURRENT"], 2: ["AWSPREVIOUS"]}
    assert history.current() == "v1"


def test_a_label_that_sits_nowhere_is_attached(history):
    history.move("BLUE", to=1)
    assert history.labels() == {1: ["AWSCURRENT", "BLUE"]}


def test_a_deprecated_version_can_be_labelled_again(history):
    history.put()
    history.put()
    history.move("ROLLBACK", to=1)
    assert history.labels() == {1: ["ROLLBACK"], 2: ["AWSPREVIOUS"], 3: ["AWSCURRENT"]}


def test_removal_must_be_named(history):
    history.put()
    words = (
        "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to version "
        "{version}, so you must explicitly reference that version in RemoveFromVersionId."
    )
    with refused("InvalidParameterException", words.format(label="AWSCURRENT", version=history.versions[1])):
        history.move("AWSCURRENT", to=1)
    history.move("BLUE", to=1)
    with refused("InvalidParameterException", words.format(label="BLUE", version=history.versions[0])):
        history.move("BLUE", to=2)
    assert history.labels() == {1: ["AWSPREVIOUS", "BLUE"], 2: ["AWSCURRENT"]}


def test_removal_must_name_the_right_version(history):
    history.put()
    with refused("InvalidParameterException", re.compile(r".*AWSCURRENT.*")):
        history.move("AWSCURRENT", to=1, leave=1)
    with refused("InvalidParameterException"):
        history.move("NOWHERE", leave=1)
    assert history.labels() == {1: ["AWSPREVIOUS"], 2: ["AWSCURRENT"]}


def test_current_cannot_be_taken_away(history):
    with refused(
        "InvalidParameterException",
        "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
    ):
        history.move("AWSCURRENT", leave=1)
    assert history.current() == "v1"


def test_a_version_that_does_not_exist(client, history):
    for member in ("MoveToVersionId", "RemoveFromVersionId"):
        with refused("ResourceNotFoundException"):
            client.update_secret_version_stage(SecretId=history.name, VersionStage="BLUE", **{member: new_token()})
    assert history.labels() == {1: ["AWSCURRENT"]}


def test_a_secret_that_does_not_exist(client, name):
    with refused("ResourceNotFoundException", SECRET_NOT_FOUND):
        client.update_secret_version_stage(SecretId=name, VersionStage="BLUE", MoveToVersionId=new_token())
    with refused("ValidationException", INVALID_NAME):
        client.update_secret_version_stage(SecretId="Inv Name", VersionStage="BLUE", MoveToVersionId=new_token())


def test_a_move_again_changes_nothing(history):
    history.put()
    history.move("AWSCURRENT", to=1, leave=2)
    with refused("InvalidParameterException"):
        history.move("AWSCURRENT", to=1, leave=2)
    assert history.labels() == {1: ["AWSCURRENT"], 2: ["AWSPREVIOUS"]}


@pytest.mark.parametrize("count, status", [(19, 200), (20, 400), (21, 400)])
def test_a_put_cannot_bring_a_secret_over_20_labels(target, history, count, status):
    """AWSCURRENT, on the first version, is one of the twenty."""
    body = {
        "SecretId": history.name,
        "SecretString": "v2",
        "VersionStages": [f"L{n}" for n in range(count)],
        "ClientRequestToken": new_token(),
    }
    answer = target.call("PutSecretValue", body)
    assert answer.status == status
    if count == 20:
        assert answer.code == "LimitExceededException"
    if count == 21:
        assert answer.code in ("ValidationException", "InvalidParameterException", "LimitExceededException")


def test_a_secret_holds_at_most_20_labels(history):
    history.put(*[f"L{n}" for n in range(19)])
    with refused("LimitExceededException"):
        history.move("ONE-TOO-MANY", to=1)
    assert len(sum(history.labels().values(), [])) == 20


@pytest.mark.parametrize("label", ["x" * 256, "with space", "größe", "a/b:c"])
def test_labels_may_be_any_text(history, label):
    history.put(label)
    assert history.labels() == {1: ["AWSCURRENT"], 2: [label]}


def test_a_label_of_257_characters(target, history):
    body = {"SecretId": history.name, "VersionStage": "x" * 257, "MoveToVersionId": history.versions[0]}
    answer = target.call("UpdateSecretVersionStage", body)
    assert (answer.status, answer.code) == (400, "ValidationException")
