"""One attempt at one job: compute in a room of its own, tell the store where it is, commit.

The lease is renewed from the work itself, so that work that hangs loses its job. Leaves out what a
failure means for the job: `tasks`.
"""

import logging
import time
from collections.abc import Mapping
from types import MappingProxyType

from dras_model.results.study import Stage
from dras_service.settings import WorkerSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import Cancelled, LeaseLost, StorageFull, StoreUnavailable
from dras_service.store.leases import Leases
from dras_service.store.rows import Claim
from dras_service.worker.draining import Drain
from dras_service.worker.embeddings import embeddings_of
from dras_service.worker.engine import Engine

_log = logging.getLogger(__name__)

# Shares of a whole study by its budget in seconds; they only steer a progress bar.
_SHARES: Mapping[Stage, float] = MappingProxyType(
    {
        Stage.READ: 2.0,
        Stage.LUNGS: 1.5,
        Stage.REGISTRATION: 1.0,
        Stage.PATCHES: 2.0,
        Stage.SCORES: 1.0,
        Stage.ENCODE: 1.5,
        Stage.OUTPUTS: 1.0,
    }
)


class Heartbeat:
    """The report of a running study, written to the store and throttled.

    Raises LeaseLost, Cancelled and Drained when called: that is how work amid a study is stopped.
    """

    def __init__(self, claim: Claim, leases: Leases, settings: WorkerSettings, drain: Drain) -> None:
        self._claim = claim
        self._leases = leases
        self._drain = drain
        self._settings = settings
        self._stage: Stage | None = None
        self._written_at = 0.0
        self._progress = 0.0

    def __call__(self, stage: Stage, fraction: float) -> None:
        """Write where the work is, at a new stage or when the last write is long enough ago."""
        self._drain.check()
        self._progress = max(self._progress, overall_progress(stage, fraction))
        now = time.monotonic()
        if stage is self._stage and now - self._written_at < self._settings.heartbeat_s:
            return
        try:
            self._leases.advance(self._claim, stage, progress=self._progress, lease_s=self._settings.lease_s)
        except (StoreUnavailable, StorageFull) as error:
            _log.warning("heartbeat of job %s put off: %s", self._claim.job_id, type(error).__name__)
            return
        self._stage, self._written_at = stage, now


def overall_progress(stage: Stage, fraction: float) -> float:
    """Return the fraction of the whole study done when `fraction` of `stage` is."""
    stages = list(Stage)
    before = sum(_SHARES[earlier] for earlier in stages[: stages.index(stage)])
    done = before + _SHARES[stage] * min(max(fraction, 0.0), 1.0)
    return done / sum(_SHARES.values())


def attempt(
    claim: Claim,
    *,
    leases: Leases,
    blobs: BlobStore,
    engine: Engine,
    settings: WorkerSettings,
    drain: Drain,
) -> None:
    """Compute the study of `claim` and commit its result.

    Raises LeaseLost, Cancelled, Drained, and whatever the engine and the store raise; nothing is committed then.
    """
    with blobs.workspace(claim) as room, blobs.study(claim.study_key) as source:
        out = room / "out"
        found = engine(
            source,
            out,
            series_uid=claim.series_uid,
            bundle=claim.bundle,
            options=claim.options,
            report=Heartbeat(claim, leases, settings, drain),
        )
        embeddings = embeddings_of(out, found)  # before the files are moved
        outputs = blobs.keep_outputs(out, claim)
    try:
        leases.commit(claim, found, outputs=outputs, embeddings=embeddings)
    except (LeaseLost, Cancelled):
        blobs.remove_outputs(outputs.key)
        blobs.empty_trash()
        raise
    blobs.discard_other_outputs(claim)
