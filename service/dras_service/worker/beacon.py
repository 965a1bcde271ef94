"""A worker's sign of life, with the numbers of its processes and GPUs: what `/readyz` and `/metrics` show.

Written by a thread of the process that holds the pool. A database connection must not cross a fork, and
SQLite's state must not either: each is opened for one write and closed, and a fork waits for that.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from dras_service.settings import Settings
from dras_service.store.engine import open_engine
from dras_service.store.errors import StoreError
from dras_service.store.store import Store

_log = logging.getLogger(__name__)
_PATIENCE_S = 2.0  # for a locked database: the next sign comes anyway, and a fork may be waiting
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Beacon:
    """Signs of life between `start` and `stop`."""

    def __init__(
        self, settings: Settings, *, gauges: Callable[[], Mapping[str, float]] | None = None
    ) -> None:
        self._settings = settings
        self._gauges = gauges or Gauges().read
        self._id = f"{socket.gethostname()}:{os.getpid()}"
        self._started_at = time.time()
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="beacon", daemon=True)
        os.register_at_fork(
            before=self._writing.acquire,
            after_in_parent=self._writing.release,
            after_in_child=self._writing.release,
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and say so."""
        self._ended.set()
        self._thread.join()
        self._write(lambda store: store.numbers.gone(self._id))

    def send(self) -> None:
        """Write one sign."""
        gauges = self._gauges()
        self._write(lambda store: store.numbers.seen(self._id, started_at=self._started_at, gauges=gauges))

    def _run(self) -> None:
        while True:
            self.send()
            if self._ended.wait(self._settings.observability.beacon_s):
                return

    def _write(self, write: Callable[[Store], None]) -> None:
        with self._writing:
            try:
                engine = open_engine(self._settings.store_url, busy_timeout_s=_PATIENCE_S)
                with closing(Store(engine)) as store:
                    write(store)
            except (StoreError, OSError) as error:
                _log.warning("sign of life put off: %s", type(error).__name__)


class Gauges:
    """Reads the numbers of this process with its children, and of the GPUs where NVIDIA's library is there."""

    def __init__(self) -> None:
        self._nvml: Any = None
        try:
            import pynvml  # noqa: PLC0415 - an extra

            pynvml.nvmlInit()
            self._nvml = pynvml
        except Exception:  # noqa: BLE001 - no library, no driver, no right: no numbers
            _log.debug("no GPU to be read")

    def read(self) -> dict[str, float]:
        """Return the numbers by name; one of a device is called `name@device`."""
        pids = (os.getpid(), *_children(os.getpid()))
        gauges = {
            "processes": float(len(pids)),
            "resident_bytes": float(sum(_resident_bytes(pid) for pid in pids)),
        }
        return gauges | self._of_gpus()

    def _of_gpus(self) -> dict[str, float]:
        gauges: dict[str, float] = {}
        nvml = self._nvml
        try:
            for index in range(nvml.nvmlDeviceGetCount() if nvml else 0):
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                memory = nvml.nvmlDeviceGetMemoryInfo(device)
                gauges |= {
                    f"gpu_utilisation_ratio@{index}": nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100,
                    f"gpu_memory_used_bytes@{index}": float(memory.used),
                    f"gpu_memory_bytes@{index}": float(memory.total),
                }
        except Exception as error:  # noqa: BLE001 - a GPU that is gone must not end the sign of life
            _log.warning("a GPU cannot be read: %s", type(error).__name__)
        return gauges


def _children(pid: int) -> list[int]:
    """Return the processes that `pid` has started (proc(5): task/TID/children)."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it ended meanwhile
