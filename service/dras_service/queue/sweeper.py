"""What makes up for lost workers and lost hints, and lets go of what is past its time: every few seconds."""

import logging
from collections.abc import Callable
from functools import partial

from dras_service.queue.holders import is_gone
from dras_service.settings import Settings, WorkerSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.rows import Swept
from dras_service.store.store import Store
from dras_service.store.sweeping import Sweeping

_log = logging.getLogger(__name__)
_RARELY = 120  # sweeps: what walks through all files, or has days to do
_DAY_S = 86_400.0


class Sweeper:
    """Sweeps once by `run_once`; any number of them may run at once."""

    def __init__(
        self, *, store: Store, blobs: BlobStore, wake_publisher: Callable[[], None], settings: Settings
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._wake_publisher = wake_publisher
        self._settings = settings
        self._n_sweeps = 0

    def run_once(self) -> Swept:
        """Give lost jobs back, have hints written that are due, purge, and clear what the dead left behind."""
        swept = sweep_leases(self._store.sweeping, self._settings.worker)
        self._store.sweeping.rehint(again_after_s=self._settings.queue.hint_again_after_s)
        self._wake_publisher()
        self._purge()
        # A room under `incoming` may be a job's, and is never as old as two at their time limit.
        remnant_age_s = self._settings.queue.remnant_age_s
        self._blobs.sweep_incoming(older_than_s=max(remnant_age_s, 2 * self._settings.worker.time_limit_s))
        if self._n_sweeps % _RARELY == 0:
            self._store.sweeping.prune(older_than_s=_DAY_S * self._settings.store.keep_events_days)
            self._clear_orphans(older_than_s=remnant_age_s)
        self._n_sweeps += 1
        return swept

    def _purge(self) -> None:
        ending = self._store.ending
        for job_id in ending.expire():
            _log.info("job %s is past its time", job_id)
        ending.clear_outputs(self._blobs.remove_outputs)
        ending.clear_studies(self._blobs.remove_study)
        # Whatever ended a job: its drafts are large, and nobody goes on from them.
        for key in self._store.orphans.drafts(self._blobs.draft_keys()):
            self._blobs.remove_draft(key)
        self._blobs.empty_trash()

    def _clear_orphans(self, *, older_than_s: float) -> None:
        """Remove studies and outputs whose process died before it could write of them."""
        orphans = self._store.orphans
        for key in orphans.studies(self._blobs.study_keys(older_than_s=older_than_s)):
            tenant = key.partition("/")[0]
            remove = partial(self._blobs.remove_study, key)
            if self._store.submission.discard(key, remove, tenant=tenant):
                _log.warning("a study without a job is removed")
        for key in orphans.outputs(self._blobs.output_keys()):
            _log.warning("outputs %s without a result are removed", key)
            self._blobs.remove_outputs(key)
        self._blobs.empty_trash()


def sweep_leases(sweeping: Sweeping, settings: WorkerSettings) -> Swept:
    """Give back what nobody works on any more: the lease ran out, or its holder is gone from this machine."""
    swept = sweeping.sweep(
        max_attempts=settings.max_attempts, retry_delay_s=settings.retry_delay_s, is_gone=is_gone
    )
    for job_id in swept.requeued:
        _log.warning("job %s lost its worker and is queued again", job_id)
    for job_id in swept.quarantined:
        _log.error("job %s lost its worker %d times and is set aside", job_id, settings.max_attempts)
    for job_id in swept.cancelled:
        _log.warning("job %s was cancelled and lost its worker", job_id)
    return swept
