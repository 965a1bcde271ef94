"""The most memory a study takes: the peak is forgotten when it starts and read when it ends.

Linux lets a process reset its peak (proc(5): `clear_refs`, `VmHWM`). Elsewhere, and where a container
forbids it, the peak is that of the process' whole life. Studies that run at once share one peak. The process
that reads a study is not counted: it ends before the peak, its volume is ours (shared memory), and what it
holds besides, about 100 MB, is less than what we need later. RUSAGE_CHILDREN would say more than it takes:
Linux lets a child inherit the peak of whoever started it.
"""

import resource
import sys
from contextlib import suppress
from pathlib import Path

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5), since Linux 4.0


def forget_peak() -> None:
    """Let the peak start again from what the process holds now, where the system allows it."""
    with suppress(OSError):
        RESET.write_text(_RESET_PEAK, "ascii")


def peak_rss_mb() -> float:
    """Return the largest resident size since `forget_peak`, or since the process began."""
    with suppress(OSError):
        for line in STATUS.read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024.0
    units_per_mb = 1024.0**2 if sys.platform == "darwin" else 1024.0  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mb
