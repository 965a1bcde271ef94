"""What the reading of one study may cost: set by the size of what is read, so that a small bomb ends soon.

The volume itself lies in shared memory and is bounded by `volume.MOST_VOXELS`, not here.
"""

import os
import resource
import stat
from dataclasses import dataclass
from pathlib import Path

LEAST_CPU_S = 60
CPU_S_PER_MB = 2.0  # the slowest honest input, JPEG 2000 at 20 : 1, takes 0.6 on a machine of 2020
WALL_PER_CPU = 3.0  # slow disks, and machines that do other things too
MOST_LISTED = 100_000  # files that are counted to learn a study's size


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one reading process. `data_bytes` are its private memory, threads and codecs included.

    `address_bytes` hold that, two volumes of the largest size allowed and the mapped files.
    """

    cpu_s: int = LEAST_CPU_S
    wall_s: float = LEAST_CPU_S * WALL_PER_CPU
    data_bytes: int = 2 << 30
    address_bytes: int = 24 << 30
    file_bytes: int = 16 << 30
    n_files: int = 256


def limits_for(source: Path) -> Limits:
    """Return the limits for a source of this size; nothing is opened."""
    cpu_s = LEAST_CPU_S + CPU_S_PER_MB * _size(source) / 1e6
    return Limits(cpu_s=round(cpu_s), wall_s=cpu_s * WALL_PER_CPU)


def apply_limits(limits: Limits) -> None:
    """Bind this process and its children for good; a limit that is lower already stays."""
    for kind, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits.data_bytes),
        (resource.RLIMIT_AS, limits.address_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.n_files),
    ):
        _, most = resource.getrlimit(kind)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(kind, (value, value))
    # The soft limit ends the process by SIGXCPU, which says why; the hard one by SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))


def _size(source: Path) -> int:
    """Bytes of a file, or of the first files below a folder; what cannot be looked at counts nothing."""
    state = _state(source)
    if state is None or not stat.S_ISDIR(state.st_mode):
        return 0 if state is None else state.st_size
    total = n_files = 0
    for place, _, names in os.walk(source):
        found = (_state(Path(place, name)) for name in names)
        total += sum(state.st_size for state in found if state is not None)
        n_files += len(names)
        if n_files > MOST_LISTED:
            break
    return total


def _state(path: Path) -> os.stat_result | None:
    """Look at a file; None where that fails, of which the reading process will say what is wrong."""
    try:
        return path.stat()
    except OSError:
        return None
