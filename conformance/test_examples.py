"""The programs in examples/ that get their secrets through `coffer run` and `coffer agent`, as their READMEs say."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import serving
from test_agent import TOKEN, Agent

BOT = serving.ROOT / "examples" / "twitter-bot"
ADVISOR = serving.ROOT / "examples" / "advisor"
SIX = ["X_API_KEY", "X_API_SECRET", "X_ACCESS_TOKEN", "X_ACCESS_TOKEN_SECRET", "X_BEARER_TOKEN", "OPENAI_API_KEY"]


@pytest.fixture
def store():
    made = serving.Store()
    made.init()
    made.start()
    yield made
    if made.server and made.server.process.poll() is None:
        made.server.kill()
    made.remove()


@pytest.fixture
def bot(store):
    """The bot's folder, with the store's environment; its six keys are in the store."""
    folder = store.folder / "bot"
    shutil.copytree(BOT, folder)
    store.run("import", str(folder / "env.example"), "--name", "twitter-bot")
    return folder


def run(folder, environment, *command):
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def lengths(printed):
    return {line.split(":")[0]: int(line.split()[1]) for line in printed.splitlines()}


def test_the_bot_through_coffer_run(store, bot):
    coffer, environment = str(serving.binary_path()), store.environment()
    program = [sys.executable, "bot.py"]
    expected = {name: len(value) for name, value in read_example().items()}
    assert sorted(expected) == sorted(SIX)
    code, printed, said = run(bot, environment, *program)
    assert code == 1 and all(name in said for name in SIX), said
    # Development: nothing is there until there is a .env.
    assert run(bot, environment, coffer, "run", "--", *program)[0] == 3
    shutil.copy(bot / "env.example", bot / ".env")
    for arguments in [["--"], ["--profile", "production", "--"], ["--profile", "production", "--pristine", "--files", "--"]]:
        code, printed, said = run(bot, environment, coffer, "run", *arguments, *program)
        assert (code, lengths(printed)) == (0, expected), said
    assert run(bot, environment, coffer, "check", "--profile", "production")[0] == 0


def test_the_bot_that_stays_begins_anew_when_a_key_changes(store, bot):
    coffer = str(serving.binary_path())
    given = ["run", "--profile", "production", "--files", "--watch", "--poll", "1s", "--", sys.executable, "bot.py", "--stay"]
    printed = bot / "printed"
    running = subprocess.Popen([coffer, *given], cwd=bot, env=store.environment(), stdout=printed.open("wb"))

    def has_printed(times):
        deadline = time.monotonic() + 30
        while len(printed.read_text().splitlines()) < times * len(SIX):
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.1)
        return lengths(printed.read_text())

    try:
        expected = {name: len(value) for name, value in read_example().items()}
        assert has_printed(1) == expected
        renewed = read_example() | {"X_API_KEY": "another"}
        (bot / ".env").write_text("".join(f"{name}={value}\n" for name, value in renewed.items()))
        store.run("import", str(bot / ".env"), "--name", "twitter-bot")
        assert has_printed(2) == expected | {"X_API_KEY": 7}
    finally:
        running.terminate()
        assert running.wait(20) == 143


def test_the_bot_through_the_agent(store, bot):
    agent = Agent(bot, store.environment(AWS_TOKEN=TOKEN), "--profile", "production")
    try:
        (bot / "token").write_text(TOKEN)
        environment = store.environment(
            USE_COFFER_AGENT="true", COFFER_AGENT_URL=agent.endpoint, COFFER_AGENT_TOKEN_FILE=bot / "token"
        )
        code, printed, said = run(bot, environment, sys.executable, "bot.py")
        assert (code, lengths(printed)) == (0, {name: len(value) for name, value in read_example().items()}), said
        assert agent.metric("coffer_agent_fetches_total") == 1, "six keys of one document"
        (bot / "token").write_text("another-token-altogether")
        code, printed, said = run(bot, environment, sys.executable, "bot.py")
        assert (code, said.strip()) == (1, "error: the agent can't give X_API_KEY: Bad Token")
    finally:
        agent.stop()


def test_the_bot_through_the_guides_switches(store, bot):
    access_key_id, secret_access_key = store.keys
    environment = store.environment(
        USE_AWS_SECRETS="true",
        AWS_SECRET_NAME="twitter-bot",
        AWS_REGION=serving.REGION,
        AWS_ENDPOINT_URL=store.server.endpoint,
        AWS_ACCESS_KEY_ID=access_key_id,
        AWS_SECRET_ACCESS_KEY=secret_access_key,
    )
    code, printed, said = run(bot, environment, sys.executable, "bot.py")
    assert (code, sorted(lengths(printed))) == (0, sorted(SIX)), said
    code, _, said = run(bot, environment | {"AWS_SECRET_NAME": "none"}, sys.executable, "bot.py")
    assert (code, said.strip()) == (1, "error: none can't be read: ResourceNotFoundException")


def read_example():
    lines = (BOT / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="there is no Node here")
def test_the_advisor(store, tmp_path):
    folder = tmp_path / "advisor"
    shutil.copytree(ADVISOR, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    installed = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True)
    if installed.returncode != 0:
        pytest.skip(f"its compiler can't be had: {installed.stderr[-200:]}")
    tested = subprocess.run(["npm", "test"], cwd=folder, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    credentials = {"alphaVantageApiKey": "a" * 5, "alpacaApiKey": "b" * 6, "alpacaApiSecret": "hunter2"}
    store.run("put", "signal9-advisor/api-credentials", input=json.dumps(credentials).encode())
    agent = Agent(store.folder, store.environment(AWS_TOKEN=TOKEN))
    try:
        (folder / "token").write_text(TOKEN)
        environment = os.environ | {"COFFER_AGENT_URL": agent.endpoint, "COFFER_AGENT_TOKEN_FILE": str(folder / "token")}
        code, printed, said = run(folder, environment, "node", "dist/main.js")
        lines = ["alphaVantageApiKey: 5 characters", "alpacaApiKey: 6 characters", "alpacaApiSecret: 7 characters"]
        assert (code, printed.splitlines()) == (0, lines * 2), said
        assert "hunter2" not in printed + said
        # One document for the two rounds; and a field that is missing.
        assert agent.metric("coffer_agent_fetches_total") == 1
        store.run("put", "incomplete", input=b'{"alpacaApiKey":"hunter2"}')
        code, printed, said = run(folder, environment | {"SECRET_NAME": "incomplete"}, "node", "dist/main.js")
        assert (code, said.strip()) == (1, "error: Missing required API credentials")
        code, _, said = run(folder, environment | {"SECRET_NAME": "none"}, "node", "dist/main.js")
        assert said.strip() == "error: Failed to retrieve API credentials: ResourceNotFoundException"
    finally:
        agent.stop()
