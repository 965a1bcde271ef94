"""Who holds a lease, named so that others can tell whether it still runs.

A process's number alone proves nothing: every machine and every container counts its own, and numbers come again.
So a holder is named with its host, its number, when it began, the kernel's boot, and the namespace in which the
number counts. Gone is what was of this very place and is not there any more. What is in doubt is not gone: its
lease runs out.
"""

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ENDED = ("Z", "X")  # proc(5): a zombie waits to be reaped, and does nothing any more
_BEGAN = 19  # of the fields of stat behind the name: the 22nd in all, in ticks since the boot


def holder() -> str:
    """Return the name of this process."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    place, began = _place(), _began(os.getpid())
    return name if place is None or began is None else f"{name}:{began}@{place}"


def is_gone(name: str) -> bool:
    """Whether a holder has provably ended."""
    process, _, place = name.partition("@")
    if not place or place != _place():
        return False
    host, number, began = process.rsplit(":", 2)
    pid = int(number)
    return host == socket.gethostname() and (_is_missing(pid) or _began(pid) not in (began, None))


def _place() -> str | None:
    """Return the boot and the namespace of process numbers; None where `/proc` does not speak of ours."""
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        return f"{_BOOT.read_text().strip()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _is_missing(pid: int) -> bool:
    """Whether no process has this number; `/proc` may hide those of other users, a signal finds them."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _began(pid: int) -> str | None:
    """Return when a process began, "" of one that has ended and was not reaped; None where it cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in _ENDED else fields[_BEGAN]
