"""Gives back at once what a process of this machine was at when it died, where the lease would take a minute.

A thread of the process that holds the pool. It looks when it starts, for what an earlier worker left, and whenever
a child of the pool is there no more. Leaves out other machines: their leases run out (`queue.sweeper`).
"""

import logging
import os
import threading
from pathlib import Path

from dras_service.queue.sweeper import sweep_leases
from dras_service.settings import WorkerSettings
from dras_service.store.errors import StoreError
from dras_service.worker.between_forks import BetweenForks

_log = logging.getLogger(__name__)
_EVERY_S = 0.5  # a look at the children, which is a look at `/proc`


class Vigil:
    """Watches between `start` and `stop`."""

    def __init__(self, store: BetweenForks, settings: WorkerSettings) -> None:
        self._store = store
        self._settings = settings
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vigil", daemon=True)

    def start(self) -> None:
        """Begin, with a first look at once."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        living: frozenset[int] = frozenset()
        is_due = True
        while True:
            before, living = living, children_of(os.getpid())
            is_due = is_due or bool(before - living)
            if is_due:
                is_due = not self._look()
            if self._ended.wait(_EVERY_S):
                return

    def _look(self) -> bool:
        """Give back what the dead held; False where the database must be asked again."""
        try:
            self._store.use(lambda store: sweep_leases(store.sweeping, self._settings))
        except (StoreError, OSError) as error:
            _log.warning("jobs of the dead are looked for again: %s", type(error).__name__)
            return False
        return True


def children_of(pid: int) -> frozenset[int]:
    """Return the processes that `pid` has started (proc(5): task/TID/children)."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(map(int, task.read_text().split()))
        except OSError:
            continue
    return frozenset(found)
