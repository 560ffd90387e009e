"""How a trial that kills coffer is run, and how what it finds is told.

I/O: stdout and stderr. Invariant: whatever goes wrong ends in exit status 1, the server that was left running killed, and
the words with which the same choices are drawn again.
"""

import sys
import traceback

import serving


class Failed(Exception):
    """What was promised did not hold."""


def run(begin, seed_variable, seed):
    """Runs the trial that `begin` makes; its `run` answers with what was found to hold. The exit status."""
    serving.binary_path()
    trial = None
    try:
        trial = begin()
        print(trial.run())
    except Exception as failure:  # noqa: BLE001 - everything that goes wrong is told the same way
        print(f"FAILED: {failure}", file=sys.stderr)
        if not isinstance(failure, Failed):
            traceback.print_exc()
        if trial:
            if trial.store.server and trial.store.server.process.poll() is None:
                trial.store.server.kill()
            kept = trial.store.folder
            print(f"the store is kept in {kept}; replay the choices with {seed_variable}={seed}", file=sys.stderr)
        return 1
    return 0
