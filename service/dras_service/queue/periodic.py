"""A thread that does something again and again until it is stopped, and sooner when it is woken."""

import logging
import threading
from collections.abc import Callable

from dras_service.store.errors import StoreError

_log = logging.getLogger(__name__)


class Periodic:
    """Calls `work` every `interval_s` between `start` and `stop`; what the store or the disk refuses waits."""

    def __init__(self, name: str, work: Callable[[], object], *, interval_s: float) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a first call at once."""
        self._thread.start()

    def wake(self) -> None:
        """Have the next call now."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread and wait for it; a call that runs is finished."""
        self._stopped = True
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._woken.clear()
            try:
                self._work()
            except (StoreError, OSError) as error:
                _log.warning("%s put off: %s", self._name, type(error).__name__)
            except Exception:  # noqa: BLE001 - a thread that ended here would never be missed
                _log.exception("%s met a defect and goes on", self._name)
            if not self._stopped:
                self._woken.wait(self._interval_s)
