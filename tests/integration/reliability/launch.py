"""Where a gateway's or a worker's process begins: its surroundings are set, and then it is just that."""

import ctypes
import os
import signal
import sys

from dras_service import failpoints
from integration.reliability import quick_gateway, quick_worker

_MAIN = {"gateway": quick_gateway.main, "worker": quick_worker.main}
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run(kind: str, environment: dict[str, str], log: str, tells) -> None:
    """Be a process of `kind`; its standard output is `tells`, its standard error the file `log`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    failpoints.arm(environment.get(failpoints.VARIABLE))
    errors = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(errors, 2)
    os.dup2(tells.fileno(), 1)
    tells.close()
    os.close(errors)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.exit(_MAIN[kind]() or 0)
