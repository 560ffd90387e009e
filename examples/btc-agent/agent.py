"""A market-data agent that reads its Twitter credentials through boto3.

It holds nothing of coffer: pointed at AWS it reads from AWS, and with the lines of
`coffer env` evaluated it reads from coffer. Run it: `python agent.py`.
"""

import json
import logging
import os
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger("btc-agent")

SECRET_NAME = os.environ.get("TWITTER_SECRET_NAME", "btc-agent/twitter/credentials")
KEYS = (
    "TWITTER_API_KEY",
    "TWITTER_API_SECRET",
    "TWITTER_BEARER_TOKEN",
    "TWITTER_ACCESS_TOKEN",
    "TWITTER_ACCESS_TOKEN_SECRET",
)

# What each error means for whoever reads the log. None of these texts holds a value.
ERRORS = {
    "ResourceNotFoundException": "there is no secret of that name, in this account and region",
    "InvalidRequestException": "the secret can't be read in its state; it may be marked for deletion",
    "InvalidParameterException": "the request names something that can't be",
    "DecryptionFailure": "the value can't be decrypted with its key",
    "InternalServiceError": "the store failed; the client has retried already",
    "AccessDeniedException": "these credentials may not read the secret",
    "UnrecognizedClientException": "the store does not know this access key",
    "InvalidSignatureException": "the secret access key is not the one of this access key",
}


class SecretsHelper:
    """One client a process, and one read a secret."""

    def __init__(self, client=None):
        self._client = client
        self._cache = {}

    @property
    def client(self):
        if self._client is None:
            self._client = boto3.client("secretsmanager")
        return self._client

    def get(self, name):
        """The fields of the secret `name`, from the cache after the first time."""
        if name not in self._cache:
            try:
                answer = self.client.get_secret_value(SecretId=name)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                log.error("%s reading %s: %s", code, name, ERRORS.get(code, "not an error known here"))
                raise
            except BotoCoreError as error:
                log.error("%s reading %s: the store can't be reached", type(error).__name__, name)
                raise
            self._cache[name] = json.loads(answer["SecretString"])
        return self._cache[name]


helper = SecretsHelper()


def twitter_credentials():
    """The five Twitter credentials: from the environment in development, from the store otherwise."""
    if os.environ.get("TWITTER_BEARER_TOKEN"):
        log.info("Twitter credentials from environment variables")
        found = {key: os.environ.get(key) for key in KEYS}
    else:
        log.info("Twitter credentials from the secret %s", SECRET_NAME)
        found = helper.get(SECRET_NAME)
    missing = [key for key in KEYS if not found.get(key)]
    if missing:
        raise RuntimeError("Twitter credentials not available: " + ", ".join(missing))
    return {key: found[key] for key in KEYS}


def main():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        credentials = twitter_credentials()
    except (ClientError, BotoCoreError):
        return 1
    except RuntimeError as error:
        log.error("%s", error)
        return 1
    # Here the agent would sign in. It tells which credentials it holds, and never a value.
    for key, value in credentials.items():
        print(f"{key}: {len(value)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
