"""Shuts a reading process in: it ends with its parent, has no network, and costs no more than its limits.

Three guards stand against the network, each where the system allows it: a network namespace of its own
(without any device), a filter of system calls, and, where there is neither, an audit hook, which binds
Python code only. The process tells which of them are up. Files can still be read and written; those through which
another process could be (/proc/PID/mem) are behind a Landlock domain, where the system has that.
"""

import ctypes
import os
import signal
import sys

from dras_model.imaging.reading.landlock import enter_domain
from dras_model.imaging.reading.limits import Limits, apply_limits
from dras_model.imaging.reading.seccomp import install_filter

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
NAMESPACE, FILTER, HOOK = "namespace", "filter", "hook"


def confine(limits: Limits, *, parent: int) -> list[str]:
    """Bind this process for good, before it has any thread; return the guards against the network."""
    end_with_parent(parent)
    apply_limits(limits)
    guards = [NAMESPACE] if _leave_network() else []
    enter_domain()
    if install_filter():
        guards.append(FILTER)
    if not guards:
        sys.addaudithook(_deny_sockets)
        guards.append(HOOK)
    return guards


def end_with_parent(parent: int) -> None:
    """Be killed when the parent is (prctl(2), Linux); ends at once where it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _leave_network() -> bool:
    """Enter a network namespace without devices (unshare(2)); needs privileges, or user namespaces.

    A user namespace costs root its right to read what belongs to others, so root enters none.
    """
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None).unshare
    if unshare(_CLONE_NEWNET) == 0:
        return True
    return os.geteuid() != 0 and unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0


def _deny_sockets(event: str, _arguments: tuple[object, ...]) -> None:
    if event == "socket.__new__" or event.startswith(
        ("subprocess.", "os.exec", "os.posix_spawn", "os.system")
    ):
        raise PermissionError("a reading process has no network and starts no program")
