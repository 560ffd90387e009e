"""A bot that would post, if this were no example: it loads its keys and prints how long each is.

With --stay it goes on running, as a bot that waits for its next post does, until it is told to stop.
"""

import signal
import sys

import credentials


def main():
    try:
        keys = credentials.load()
    except credentials.MissingSecrets as missing:
        sys.exit(f"error: {missing}")
    for name in credentials.REQUIRED:
        print(f"{name}: {len(keys[name])} characters", flush=True)
    if "--stay" in sys.argv[1:]:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pause()


if __name__ == "__main__":
    main()
