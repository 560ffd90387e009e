"""A bot that would post, if this were no example: it loads its keys and prints how long each is."""

import sys

import credentials


def main():
    try:
        keys = credentials.load()
    except credentials.MissingSecrets as missing:
        sys.exit(f"error: {missing}")
    for name in credentials.REQUIRED:
        print(f"{name}: {len(keys[name])} characters")


if __name__ == "__main__":
    main()
