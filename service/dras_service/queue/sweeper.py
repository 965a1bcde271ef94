"""What makes up for lost workers and lost hints: a look at the database every few seconds."""

import logging
import threading
from collections.abc import Callable

from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import StoreError
from dras_service.store.jobs import JobStore
from dras_service.store.rows import Swept

_log = logging.getLogger(__name__)
_REMNANT_AGE_S = 3600.0  # and never younger than two jobs at their time limit


class Sweeper:
    """Sweeps once by `run_once`, or every few seconds in a thread between `start` and `stop`."""

    def __init__(
        self,
        *,
        store: JobStore,
        blobs: BlobStore,
        publish: Callable[[str], None],
        settings: Settings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._publish = publish
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def run_once(self) -> Swept:
        """Give lost jobs back, send hints that are due, and clear what the dead left behind."""
        worker = self._settings.worker
        swept = self._store.sweep(max_attempts=worker.max_attempts, retry_delay_s=worker.retry_delay_s)
        for job_id in swept.requeued:
            _log.warning("job %s lost its worker and is queued again", job_id)
        for job_id in swept.quarantined:
            _log.error("job %s lost its worker %d times and is set aside", job_id, worker.max_attempts)
        for job_id in self._store.due_hints(again_after_s=self._settings.queue.hint_again_after_s):
            self._publish(job_id)
        self._blobs.sweep_incoming(older_than_s=max(_REMNANT_AGE_S, 2 * worker.time_limit_s))
        return swept

    def start(self) -> None:
        """Begin to sweep in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.run_once()
            except (StoreError, OSError) as error:
                _log.warning("sweep put off: %s", type(error).__name__)
            self._stop.wait(self._settings.queue.sweep_interval_s)
