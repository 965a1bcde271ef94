"""The store as the process that holds the pool may use it: opened for one piece of work and closed.

A database connection must not cross a fork, and SQLite's state must not either; a fork waits until the store is
closed. Leaves out the children, who work with a store of their own.
"""

import os
import threading
from collections.abc import Callable
from contextlib import closing

from dras_service.store.engine import open_engine
from dras_service.store.store import Store

_PATIENCE_S = 2.0  # for a locked database: whoever asks comes again, and a fork may be waiting


class BetweenForks:
    """One for the whole process: its threads take turns."""

    def __init__(self, store_url: str) -> None:
        self._store_url = store_url
        self._using = threading.Lock()
        os.register_at_fork(
            before=self._using.acquire,
            after_in_parent=self._using.release,
            after_in_child=self._using.release,
        )

    def use(self, work: Callable[[Store], object]) -> None:
        """Do one short piece of work. Raises StoreError, OSError."""
        with self._using, closing(Store(open_engine(self._store_url, busy_timeout_s=_PATIENCE_S))) as store:
            work(store)
