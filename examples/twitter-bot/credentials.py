"""The bot's six keys: from the environment, else from where the switches say. Needs Python alone, boto3 for USE_AWS_SECRETS.

`coffer run` puts the keys into the environment (or into files, --files), and nothing here knows of it. Without it:

    USE_COFFER_AGENT=true     the agent on this machine: COFFER_AGENT_URL (http://127.0.0.1:2773), COFFER_AGENT_TOKEN_FILE
    USE_AWS_SECRETS=true      AWS Secrets Manager, or coffer where AWS_ENDPOINT_URL leads: AWS_REGION, AWS_SECRET_NAME
"""

import json
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request

REQUIRED = (
    "X_API_KEY",
    "X_API_SECRET",
    "X_ACCESS_TOKEN",
    "X_ACCESS_TOKEN_SECRET",
    "X_BEARER_TOKEN",
    "OPENAI_API_KEY",
)


class MissingSecrets(Exception):
    """Which keys nobody has, and why the store could not be asked. Never a value."""


def load():
    """All six keys by name."""
    found = {name: value for name in REQUIRED if (value := _of_environment(name))}
    missing = [name for name in REQUIRED if name not in found]
    why = ""
    if missing and _is_on("USE_COFFER_AGENT"):
        found |= {name: value for name in missing if (value := _of_agent(name))}
    elif missing and _is_on("USE_AWS_SECRETS"):
        document = _of_aws(os.environ.get("AWS_SECRET_NAME", "twitter-bot"))
        found |= {name: document[name] for name in missing if document.get(name)}
    elif missing:
        why = "; run it with `coffer run`, or set USE_COFFER_AGENT or USE_AWS_SECRETS"
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise MissingSecrets(f"Missing required secrets: {', '.join(missing)}{why}")
    return found


def _is_on(switch):
    return os.environ.get(switch, "").lower() in ("true", "1", "yes", "on")


def _of_environment(name):
    """The variable, or the file that NAME_FILE names."""
    if file := os.environ.get(f"{name}_FILE"):
        return pathlib.Path(file).read_text().removesuffix("\n")
    return os.environ.get(name)


def _of_agent(name):
    url = os.environ.get("COFFER_AGENT_URL", "http://127.0.0.1:2773")
    token = pathlib.Path(os.environ["COFFER_AGENT_TOKEN_FILE"]).read_text().strip()
    query = urllib.parse.urlencode({"secretId": name})
    request = urllib.request.Request(
        f"{url}/secretsmanager/get?{query}", headers={"X-Aws-Parameters-Secrets-Token": token}
    )
    # Not through a proxy: the agent refuses what was sent on.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return json.load(response)["SecretString"]
    except urllib.error.HTTPError as error:
        body = error.read()
        try:
            fault = json.loads(body)["__type"]
        except ValueError:
            fault = body.decode(errors="replace")
        if fault == "ResourceNotFoundException":
            return None
        raise MissingSecrets(f"the agent can't give {name}: {fault}") from None
    except urllib.error.URLError as error:
        raise MissingSecrets(f"no agent answers at {url}: {error.reason}") from None


def _of_aws(name):
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.client("secretsmanager", region_name=os.environ.get("AWS_REGION"))
        return json.loads(client.get_secret_value(SecretId=name)["SecretString"])
    except ClientError as error:
        raise MissingSecrets(f"{name} can't be read: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise MissingSecrets(f"{name} can't be read: {type(error).__name__}") from None
