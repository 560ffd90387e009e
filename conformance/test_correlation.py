"""What a caller calls its request, from the caller to the record: headers at the AWS door, the local socket, `coffer run`."""

import json
import types

import access
import pytest
import serving
import signing

MANIFEST = """
[secrets.X_API_KEY]
from = "coffer://bot#X_API_KEY"
"""


@pytest.fixture
def store():
    made = serving.Store()
    made.init()
    made.run("put", "bot", input=b'{"X_API_KEY":"hunter2"}')
    (made.folder / "coffer.toml").write_text(MANIFEST)
    yield made
    if made.server and made.server.process.poll() is None:
        made.server.kill()
    made.remove()


def recorded(store, event="GetSecretValue"):
    """What the records of an event say their callers called them."""
    lines = store.run("--json", "audit", "tail", "--count", "100", "--operation", event).stdout.splitlines()
    return [json.loads(line).get("additionalEventData", {}).get("correlationId") for line in lines]


def test_headers(store):
    endpoint = store.start().endpoint
    named = {
        "trace": {"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793"},
        "request": {"X-Request-Id": "req-1"},
        "both": {"X-Amzn-Trace-Id": "Root=1-2", "X-Request-Id": "req-2", "Amz-Sdk-Invocation-Id": "sdk-2"},
        "sdk": {"Amz-Sdk-Invocation-Id": "6f1a2f1e-93b6-4f6a-8c07-2f8f3e3a9c11"},
        "none": {},
        # A header that holds no id hides none behind it.
        "behind": {"X-Amzn-Trace-Id": "Root=1-2; Parent=3", "X-Request-Id": "req-3"},
        "behind a long one": {"X-Amzn-Trace-Id": "x" * 129, "Amz-Sdk-Invocation-Id": "sdk-3"},
        # Nothing that does not look like an id, whatever it is.
        "words": {"X-Request-Id": "hunter2 hunter3"},
        "markup": {"X-Request-Id": "<hunter2>"},
        "long": {"X-Request-Id": "x" * 129},
        "bytes": {"X-Request-Id": "caf\xe9"},
    }
    for more in named.values():
        headers = signing.signed(endpoint, "GetSecretValue", {"SecretId": "bot"}, store.keys, serving.REGION)
        answer = signing.send(endpoint, {"SecretId": "bot"}, headers | more)
        assert answer.status == 200, answer.body
    expected = ["Root=1-5759e988-bd862e3fe1be46a994272793", "req-1", "Root=1-2", "6f1a2f1e-93b6-4f6a-8c07-2f8f3e3a9c11"]
    assert recorded(store) == [*expected, None, "req-3", "sdk-3", *[None] * 4]

    # Who is refused said what he called it, too, known or not.
    wrong = (store.keys[0], "wrong")
    for keys, secret_id, code in [(store.keys, "none", "ResourceNotFoundException"), (wrong, "bot", "SignatureDoes")]:
        headers = signing.signed(endpoint, "GetSecretValue", {"SecretId": secret_id}, keys, serving.REGION)
        answer = signing.send(endpoint, {"SecretId": secret_id}, headers | {"X-Request-Id": f"refused-{secret_id}"})
        assert answer.status == 400 and (answer.code.startswith(code) or keys == wrong), answer.body
        shown = store.run("audit", "show", f"refused-{secret_id}").stdout.decode()
        assert f"Called       refused-{secret_id}" in shown and "Refused" in shown, shown


@pytest.mark.parametrize("served", [True, False])
def test_coffer_run(store, served):
    if served:
        store.start()
    store.run("run", "--", "true", COFFER_CORRELATION_ID="deploy-41")
    # Without one each call has its own, which nobody else has.
    store.run("run", "--", "true")
    store.run("run", "--", "true", COFFER_CORRELATION_ID="no id at all")
    first, *others = recorded(store)
    assert first == "deploy-41"
    assert len({first, *others}) == 3 and all(len(other) == 16 for other in others), others
    shown = store.run("--json", "audit", "show", "deploy-41").stdout.decode()
    assert json.loads(shown)["requestParameters"] == {"secretId": "bot"}

    # A command says what its caller calls it.
    store.run("describe", "bot", COFFER_CORRELATION_ID="Root=1-2;Parent=3")
    for id in ("Root=1-2;Parent=3", "Root=1-2"):
        assert "DescribeSecret" in store.run("audit", "show", id).stdout.decode()


def test_an_error_leads_to_its_record(store):
    store.start()
    store.run("delete", "bot")
    checked = store.run("--json", "check", check=False)
    entry = json.loads(checked.stdout)["secrets"][0]
    assert entry["state"] == "failed" and len(entry["correlation_id"]) == 16, entry
    assert "GetSecretValue" in store.run("audit", "show", entry["correlation_id"]).stdout.decode()
    refused = store.run("run", "--", "true", check=False).stderr.decode()
    id = refused.split("(correlation id ")[1].split(")")[0]
    assert "GetSecretValue" in store.run("audit", "show", id).stdout.decode()


def test_nobody_hides_a_request_by_calling_his_own_like_it(store):
    endpoint = store.start().endpoint
    _, keys = access.new_user(types.SimpleNamespace(endpoint=endpoint, keys=store.keys))

    def send(more):
        headers = signing.signed(endpoint, "GetSecretValue", {"SecretId": "bot"}, keys, serving.REGION)
        return signing.send(endpoint, {"SecretId": "bot"}, headers | more)

    refused = send({})
    id = refused.headers["x-amzn-requestid"]
    assert send({"X-Request-Id": id}).headers["x-amzn-requestid"] != id
    shown = [json.loads(line) for line in store.run("--json", "audit", "show", id).stdout.splitlines()]
    assert [record["requestID"] for record in shown] == [id]
    # What the other called so is found by its own id, and never explained by this one.
    assert store.run("policy", "explain", "--request", "no-such-id", check=False).returncode == 3
    assert send({"X-Request-Id": "ticket-7"}).status == 400
    assert b"ticket-7" in store.run("audit", "show", "ticket-7").stdout
    assert store.run("policy", "explain", "--request", "ticket-7", check=False).returncode == 3
