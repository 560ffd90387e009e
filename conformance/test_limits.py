"""Every limit there is, at its edge and beyond, over the wire.

The lengths, counts, ranges, lists of legal words and patterns come from botocore's copy of the service model, so that
no limit of an operation is left out: each is one case at its edge and one beyond. Quotas, which no model has, stand in
tests of their own below, and a last test sees to it that every limit coffer's code names is tried by one of them.
boto3's own validation is off: it is the server that is asked.
"""

import re

import botocore.session
import pytest
import serving
from conftest import INVALID_NAME, OPERATIONS, new_token, refused

MODEL = botocore.session.get_session().get_service_model("secretsmanager")

# What is refused by name whatever it holds, so that its limits say nothing.
UNSERVED = {"AddReplicaRegions", "CrossAccountPrimaryARN", "RotationToken", "Type"}

# What a request at its edge is answered with, if not with success: the limit let it pass.
ABSENT = ("ResourceNotFoundException", None)
AT_EDGE = {
    ("*", "SecretId min"): ABSENT,
    # Long enough for any ARN, and too long for a name, which is another rule.
    ("*", "SecretId max"): ("ValidationException", INVALID_NAME),
    ("BatchGetSecretValue", "SecretIdList.… max"): ("ValidationException", INVALID_NAME),
    ("*", "NextToken"): ("InvalidNextTokenException", None),
    ("*", "VersionId"): ABSENT,
    ("*", "KmsKeyId max"): ("EncryptionFailure", None),
    ("GetSecretValue", "VersionStage"): ABSENT,
    ("UpdateSecretVersionStage", "MoveToVersionId"): ABSENT,
    ("UpdateSecretVersionStage", "RemoveFromVersionId"): ABSENT,
    # AWSCURRENT is not among those asked for, and comes to the first version: that is one label too many.
    ("PutSecretValue", "VersionStages max"): ("LimitExceededException", None),
}
# What a request beyond is answered with: AWS's words, and how many of its members are wrong.
BEYOND = re.compile(r"\d+ validation errors? detected: .*", re.DOTALL)
# Texts of any characters. Their limits count characters, but that of a value, which counts bytes.
ANY_TEXT = {"Description", "Key", "Value", "ExcludeCharacters"}
WIDE = "𝄞"


def walk(shape, path=()):
    """Every member of an input that has a limit: its path (0 for the member of a list) and its shape."""
    if shape.metadata.keys() & {"min", "max", "enum", "pattern"}:
        yield path, shape
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from walk(member, (*path, name))
    elif shape.type_name == "list":
        yield from walk(shape.member, (*path, 0))


def filling(shape, path, size):
    """A value of this size, legal but for that."""
    if shape.type_name in ("integer", "long"):
        return size
    if shape.type_name == "blob":
        return b"\xff" * size
    if shape.type_name == "list":
        return [member_of(path[-1], number) for number in range(size)]
    return ("n" if path == ("Name",) else "a") * size


def member_of(name, number):
    if name == "Filters":
        return {"Key": "name", "Values": [f"a{number}"]}
    return f"a{number}"


def cases():
    """(operation, path, what is tried, value, whether it is legal)"""
    for operation in OPERATIONS:
        for path, shape in walk(MODEL.operation_model(operation).input_shape):
            if not path or path[0] in UNSERVED:
                continue
            limits, values = shape.metadata, []
            least, most = limits.get("min", 0), limits.get("max")
            if most is not None:
                values += [(f"max {most}", filling(shape, path, most), True)]
                values += [(f"max {most} and one more", filling(shape, path, most + 1), False)]
                if path[-1] == "SecretString":
                    values += [(f"max {most} in characters of four bytes", WIDE * (most // 4), True)]
                    values += [(f"max {most} and one byte more", WIDE * (most // 4) + "a", False)]
                elif path[-1] in ANY_TEXT and path[0] != "Filters":
                    values += [(f"max {most} characters of four bytes", WIDE * most, True)]
                    values += [(f"max {most} and one more of four bytes", WIDE * (most + 1), False)]
            if least:
                values += [(f"min {least}", filling(shape, path, least), True)]
                values += [(f"min {least} less one", filling(shape, path, least - 1), False)]
            if enum := limits.get("enum"):
                values += [(f"the word {word}", word, True) for word in enum] + [("another word", "other", False)]
            if "pattern" in limits:
                values += [("outside the pattern", "a#", False)]
            for tried, value, legal in values:
                yield pytest.param(operation, path, tried, value, legal, id=f"{operation} {dotted(path)} {tried}")


def dotted(path):
    return ".".join("…" if part == 0 else part for part in path)


def body_of(operation, path, name, first):
    """A legal body of the operation, about the secret `name` with its version `first`, with room for the path."""
    wanted = path[0]
    body = {"SecretId": name}
    if operation == "CreateSecret":
        body = {"Name": f"{name}/made"}
    elif operation in ("ListSecrets", "GetRandomPassword", "BatchGetSecretValue"):
        body = {}
    if operation == "BatchGetSecretValue":
        filters = [{"Key": "name", "Values": [name]}]
        body = {"SecretIdList": [name]} if wanted == "SecretIdList" else {"Filters": filters}
    if operation == "GetRandomPassword":
        body["RequireEachIncludedType"] = False
    if operation == "TagResource":
        body["Tags"] = []
    if operation == "UntagResource":
        body["TagKeys"] = []
    if operation == "UpdateSecretVersionStage":
        body |= {"VersionStage": "other", "MoveToVersionId": first}
        if wanted == "RemoveFromVersionId":
            body |= {"VersionStage": "AWSCURRENT"}
    if operation in ("CreateSecret", "PutSecretValue", "UpdateSecret"):
        body["ClientRequestToken"] = new_token()
        if wanted != "SecretBinary":
            body["SecretString"] = "v"
    return body


def put_in(body, path, value):
    """The body with the value at the path; what it goes through is made, legal."""
    if path[0] == "Tags":
        body["Tags"] = [{"Key": "k", "Value": "v", path[-1]: value}]
    elif path[0] == "Filters" and len(path) > 1:
        body["Filters"] = [{"Key": "name", "Values": ["a"]}]
        if path[-1] == 0:
            body["Filters"][0]["Values"] = [value]
        else:
            body["Filters"][0][path[-1]] = value
    elif path[-1] == 0:
        body[path[0]] = [value]
    else:
        body[path[0]] = value
    return body


def expected_at_edge(operation, path, tried):
    member = dotted(path)
    keys = [(of, what) for of in (operation, "*") for what in (member, f"{member} {tried[:3]}")]
    return next((AT_EDGE[key] for key in keys if key in AT_EDGE), None)


@pytest.fixture
def unchecked(target):
    """boto3 that sends what it is given."""
    return target.client(parameter_validation=False)


@pytest.mark.dev  # a store never sees what is beyond, and its part is tried with the quotas
@pytest.mark.parametrize("operation, path, tried, value, legal", list(cases()))
def test_a_limit_of_the_model(target, unchecked, name, operation, path, tried, value, legal):
    first = None
    if operation not in ("CreateSecret", "GetRandomPassword", "ListSecrets"):
        first = unchecked.create_secret(Name=name, SecretString="v")["VersionId"]
    body = put_in(body_of(operation, path, name, first), path, value)
    call = getattr(unchecked, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
    if not legal:
        with refused("ValidationException", BEYOND):
            call(**body)
        if first:
            assert unchecked.describe_secret(SecretId=name)["VersionIdsToStages"] == {first: ["AWSCURRENT"]}
        return
    if answer := expected_at_edge(operation, path, tried):
        with refused(*answer):
            call(**body)
    else:
        call(**body)


# Quotas, which the model does not have.


def numbered(count):
    return [{"Key": f"k{number}", "Value": ""} for number in range(count)]


def test_50_tags_a_secret(unchecked, name):
    unchecked.create_secret(Name=name, SecretString="v", Tags=numbered(50))
    assert len(unchecked.describe_secret(SecretId=name)["Tags"]) == 50
    with refused("InvalidParameterException"):
        unchecked.tag_resource(SecretId=name, Tags=[{"Key": "one more", "Value": ""}])
    with refused("InvalidParameterException"):
        unchecked.create_secret(Name=f"{name}/more", SecretString="v", Tags=numbered(51))
    with refused("ResourceNotFoundException"):
        unchecked.describe_secret(SecretId=f"{name}/more")


def test_20_labels_a_secret(unchecked, name):
    labels = [f"label-{number}" for number in range(20)]
    first = unchecked.create_secret(Name=name, SecretString="v")["VersionId"]
    # AWSCURRENT stays where it is: 19 more are 20 together.
    unchecked.put_secret_value(SecretId=name, SecretString="w", VersionStages=labels[:19])
    with refused("LimitExceededException"):
        unchecked.put_secret_value(SecretId=name, SecretString="x", VersionStages=labels[19:])
    with refused("LimitExceededException"):
        unchecked.update_secret_version_stage(SecretId=name, VersionStage=labels[19], MoveToVersionId=first)
    stages = unchecked.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert sum(len(labels) for labels in stages.values()) == 20


@pytest.mark.parametrize("labels, legal", [(20, True), (21, False)])
def test_20_labels_a_request(unchecked, name, labels, legal):
    unchecked.create_secret(Name=name)
    stages = ["AWSCURRENT"] + [f"label-{number}" for number in range(labels - 1)]
    if legal:
        put = unchecked.put_secret_value(SecretId=name, SecretString="v", VersionStages=stages)
        assert sorted(put["VersionStages"]) == sorted(stages)
    else:
        with refused("ValidationException", BEYOND):
            unchecked.put_secret_value(SecretId=name, SecretString="v", VersionStages=stages)


@pytest.mark.parametrize("days, legal", [(6, False), (7, True), (30, True), (31, False)])
def test_7_to_30_days_until_a_deletion(unchecked, name, days, legal):
    unchecked.create_secret(Name=name, SecretString="v")
    if legal:
        unchecked.delete_secret(SecretId=name, RecoveryWindowInDays=days)
    else:
        with refused("InvalidParameterException"):
            unchecked.delete_secret(SecretId=name, RecoveryWindowInDays=days)
        assert "DeletedDate" not in unchecked.describe_secret(SecretId=name)


def test_a_version_is_kept_for_a_day_however_many_there_are(unchecked, name):
    """That older ones go beyond 100 needs another clock: crates/coffer-core/tests/versions_kept.rs."""
    first = unchecked.create_secret(Name=name, SecretString="0")["VersionId"]
    for number in range(1, 103):
        unchecked.put_secret_value(SecretId=name, SecretString=str(number))
    assert unchecked.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "0"
    page = unchecked.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)
    rest = unchecked.list_secret_version_ids(SecretId=name, IncludeDeprecated=True, NextToken=page["NextToken"])
    assert (len(page["Versions"]), len(rest["Versions"])) == (100, 3)


@pytest.mark.parametrize("size, status", [(512 * 1024, 200), (512 * 1024 + 1, 413)])
def test_512_kib_a_request(target, size, status):
    body = b'{"PasswordLength": 8' + b" " * (size - 21) + b"}"
    assert len(body) == size
    assert target.call("GetRandomPassword", body).status == status


def test_every_limit_that_the_code_names_is_tried():
    """Each constant is a limit of the model, and its number, or has a test of its own here."""
    own = {
        "STAGES_PER_SECRET_MAX": test_20_labels_a_secret,
        "TAGS_PER_SECRET_MAX": test_50_tags_a_secret,
        "VERSIONS_PER_SECRET_MAX": test_a_version_is_kept_for_a_day_however_many_there_are,
        "VERSION_KEPT_MILLIS_MIN": test_a_version_is_kept_for_a_day_however_many_there_are,
        "RECOVERY_WINDOW_DAYS_MIN": test_7_to_30_days_until_a_deletion,
        "RECOVERY_WINDOW_DAYS_MAX": test_7_to_30_days_until_a_deletion,
        "PASSWORD_CHARS_DEFAULT": None,  # not a limit: test_passwords.py
    }
    of_model = {
        "SECRET_ID_CHARS_MAX": ("GetSecretValue", ("SecretId",)),
        "SECRET_NAME_CHARS_MAX": ("CreateSecret", ("Name",)),
        "DESCRIPTION_CHARS_MAX": ("CreateSecret", ("Description",)),
        "SECRET_VALUE_BYTES_MAX": ("PutSecretValue", ("SecretBinary",)),
        "VERSION_ID_CHARS_MIN": ("PutSecretValue", ("ClientRequestToken",)),
        "VERSION_ID_CHARS_MAX": ("PutSecretValue", ("ClientRequestToken",)),
        "STAGE_CHARS_MAX": ("GetSecretValue", ("VersionStage",)),
        "STAGES_PER_REQUEST_MAX": ("PutSecretValue", ("VersionStages",)),
        "TAG_KEY_CHARS_MAX": ("TagResource", ("Tags", 0, "Key")),
        "TAG_VALUE_CHARS_MAX": ("TagResource", ("Tags", 0, "Value")),
        "PASSWORD_CHARS_MAX": ("GetRandomPassword", ("PasswordLength",)),
        "EXCLUDE_CHARACTERS_MAX": ("GetRandomPassword", ("ExcludeCharacters",)),
        "NEXT_TOKEN_CHARS_MAX": ("ListSecrets", ("NextToken",)),
        "PAGE_ENTRIES_MAX": ("ListSecrets", ("MaxResults",)),
        "FILTERS_MAX": ("ListSecrets", ("Filters",)),
        "FILTER_VALUES_MAX": ("ListSecrets", ("Filters", 0, "Values")),
        "FILTER_VALUE_CHARS_MAX": ("ListSecrets", ("Filters", 0, "Values", 0)),
    }
    text = (serving.ROOT / "crates" / "coffer-types" / "src" / "limits.rs").read_text()
    named = dict(re.findall(r"^pub const (\w+): \w+ = ([^;]+);", text, re.MULTILINE))
    assert named.keys() == own.keys() | of_model.keys()
    for constant, (operation, path) in of_model.items():
        limits = dict(walk(MODEL.operation_model(operation).input_shape))[path].metadata
        assert int(named[constant].replace("_", "")) == limits[constant.rpartition("_")[2].lower()], constant
