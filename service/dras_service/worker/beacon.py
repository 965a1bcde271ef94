"""A worker's sign of life, with the numbers of its processes and GPUs: what `/readyz` and `/metrics` show.

Written by a thread of the process that holds the pool.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dras_service.store.errors import StoreError
from dras_service.store.store import Store
from dras_service.worker.between_forks import BetweenForks
from dras_service.worker.vigil import children_of

_log = logging.getLogger(__name__)
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Beacon:
    """Signs of life between `start` and `stop`."""

    def __init__(
        self,
        store: BetweenForks,
        *,
        every_s: float,
        gauges: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self._store = store
        self._every_s = every_s
        self._gauges = gauges or Gauges().read
        self._id = f"{socket.gethostname()}:{os.getpid()}"
        self._started_at = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beacon", daemon=True)

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
            if self._ended.wait(self._every_s):
                return

    def _write(self, write: Callable[[Store], None]) -> None:
        try:
            self._store.use(write)
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
        pids = (os.getpid(), *children_of(os.getpid()))
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


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it ended meanwhile
