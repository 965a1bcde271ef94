"""How a worker that is told to stop hands back what it cannot finish, instead of losing it to the lease.

The main process sets a moment in memory that its children share; the work looks at it whenever it reports.
An attempt that ends so does not count: a job is not set aside because its service was often updated.
"""

import mmap
import struct
import time
from typing import Any

from celery.signals import worker_shutting_down

_MOMENT = struct.Struct("d")


class Drained(Exception):
    """The worker stops: give the job back."""


class Drain:
    """Made before the children are, and then the same for all of them."""

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        # Anonymous and shared: no file, and no lock, because one process writes it, once.
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)

    def listen(self) -> None:
        """Begin when Celery says that the worker shuts down."""
        worker_shutting_down.connect(self._shutting_down, weak=False)

    def begin(self) -> None:
        """Let work go on for the time of grace, and no longer."""
        if not self._until():
            _MOMENT.pack_into(self._shared, 0, time.monotonic() + self._grace_s)

    def check(self) -> None:
        """Raise Drained where the time of grace is over."""
        until = self._until()
        if until and time.monotonic() >= until:
            raise Drained

    def _until(self) -> float:
        (until,) = _MOMENT.unpack_from(self._shared, 0)
        return float(until)

    def _shutting_down(self, **_signal: Any) -> None:
        self.begin()
