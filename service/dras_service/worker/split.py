"""One attempt at one stage of a job: each takes what the stage before has left, and leaves the next one its own.

What is left, a draft, lies safely before the row speaks of it, at an address of this very attempt: a worker that
was taken for dead can neither change what another goes on from nor be gone on from itself. Leaves out studies in
one go (`stages`) and what a failure means for a job (`settling`).
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from dras_model.results.study import Stage
from dras_service.api.options import JobOptions
from dras_service.api.queues import JobQueue
from dras_service.settings import EncodeSettings, WorkerSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import Cancelled, LeaseLost
from dras_service.store.leases import Leases
from dras_service.store.rows import Claim
from dras_service.store.shelves import Held
from dras_service.worker.draining import Drain
from dras_service.worker.embeddings import embeddings_of
from dras_service.worker.engine import StagedEngine
from dras_service.worker.stages import Heartbeat, overall_progress

_MEGABYTE = 1 << 20
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Bench:
    """What the stages work with."""

    leases: Leases
    blobs: BlobStore
    engine: StagedEngine
    settings: WorkerSettings
    encode: EncodeSettings
    drain: Drain

    def heartbeat(self, claim: Claim) -> Heartbeat:
        """Return the report of a job."""
        return Heartbeat(claim, self.leases, self.settings, self.drain)


def prepare(claim: Claim, bench: Bench) -> None:
    """Do what needs the scan. Raises LeaseLost, Cancelled, Drained, and whatever the engine and the store raise."""
    blobs = bench.blobs
    with blobs.workspace(claim) as room, blobs.study(claim.study_key) as source:
        draft = room / "draft"
        bench.engine.prepare(
            source,
            draft,
            series_uid=claim.series_uid,
            bundle=claim.bundle,
            options=claim.options,
            report=bench.heartbeat(claim),
        )
        key = blobs.keep_draft(draft, claim)
    _hand_over(claim, bench, key, done=Stage.SCORES)


def finish(claim: Claim, bench: Bench) -> None:
    """Write the outputs and commit the result. Raises as `prepare` does."""
    blobs = bench.blobs
    with blobs.workspace(claim) as room, _draft_of(claim, bench) as draft:
        out = room / "out"
        with _source_of(claim, bench) as source:
            found = bench.engine.finish(draft, out, source=source, report=bench.heartbeat(claim))
        embeddings = embeddings_of(out, found)  # before the files are moved
        outputs = blobs.keep_outputs(out, claim)
    try:
        bench.leases.commit(claim, found, outputs=outputs, embeddings=embeddings)
    except (LeaseLost, Cancelled):
        blobs.remove_outputs(outputs.key)
        blobs.empty_trash()
        raise
    blobs.discard_other_outputs(claim)
    _discard(claim.draft_key, bench)


class AllLost(Exception):
    """No job of a batch is wanted from this worker any more; `Batch.lost` says why of each."""


class Batch:
    """Jobs that are encoded together, each with a lease of its own; one that is lost does not stop the others."""

    def __init__(self, bench: Bench) -> None:
        self.claims: list[Claim] = []
        self.lost: dict[str, LeaseLost | Cancelled] = {}
        self._bench = bench
        self._beats: list[tuple[Claim, Heartbeat]] = []

    def add(self, claim: Claim) -> None:
        """Take one more job in."""
        self.claims.append(claim)
        self._beats.append((claim, self._bench.heartbeat(claim)))

    @contextmanager
    def encoded(self) -> Iterator[dict[str, Path]]:
        """Encode, and open the new drafts by job id; they are gone afterwards, unless they are handed over.

        Raises Drained, AllLost, and whatever the engine raises.
        """
        with ExitStack() as rooms:
            drafts = {
                claim.job_id: rooms.enter_context(self._bench.blobs.workspace(claim)) / "draft"
                for claim in self.claims
            }
            self._bench.engine.encode(
                [rooms.enter_context(_draft_of(claim, self._bench)) for claim in self.claims],
                list(drafts.values()),
                bundle=self.claims[0].bundle,
                report=self._report,
            )
            yield drafts

    def hand_over(self, claim: Claim, draft: Path) -> None:
        """Commit one job of it. Raises LeaseLost, Cancelled, and what the store raises."""
        if (lost := self.lost.get(claim.job_id)) is not None:
            raise lost
        _hand_over(claim, self._bench, self._bench.blobs.keep_draft(draft, claim), done=Stage.ENCODE)

    def _report(self, stage: Stage, fraction: float) -> None:
        for claim, beat in self._beats:
            if claim.job_id in self.lost:
                continue
            try:
                beat(stage, fraction)
            except (LeaseLost, Cancelled) as loss:
                self.lost[claim.job_id] = loss
        if len(self.lost) == len(self.claims):
            raise AllLost


def companions(first: Claim, bench: Bench, *, owner: str) -> Iterator[Claim]:
    """Claim jobs that can be encoded with `first`: as many as there is memory for, waiting a moment for more.

    A job that has failed before is encoded alone: so no other loses an attempt to it twice.
    """
    if first.attempt > 1:
        return
    with _draft_of(first, bench) as draft:
        size_mb = _size_bytes(draft) / _MEGABYTE
    most = min(bench.encode.max_studies, int(bench.encode.max_mb / max(size_mb, 1e-6)))
    deadline = time.monotonic() + bench.encode.wait_ms / 1000
    n_claimed = 1
    while n_claimed < most:
        claim = bench.leases.claim(
            owner=owner, lease_s=bench.settings.lease_s, queues=(JobQueue.ENCODE,), like=first
        )
        if claim is not None:
            n_claimed += 1
            yield claim
        elif time.monotonic() >= deadline:
            return
        else:
            time.sleep(_POLL_S)


def _hand_over(claim: Claim, bench: Bench, key: str, *, done: Stage) -> None:
    try:
        bench.leases.hand_over(claim, draft_key=key, progress=overall_progress(done, 1.0))
    except (LeaseLost, Cancelled):
        _discard(key, bench)
        raise
    _discard(claim.draft_key, bench)


def _discard(key: str | None, bench: Bench) -> None:
    """Remove a draft that nobody goes on from; what a death here leaves is the sweeper's."""
    if key is not None:
        bench.blobs.remove_draft(key)
        bench.blobs.empty_trash()


def _source_of(claim: Claim, bench: Bench) -> AbstractContextManager[Path | None]:
    """Open the scan where DICOM objects are wanted, which are of its patient; a draft names nobody."""
    if JobOptions.model_validate(claim.options).dicom:
        return bench.blobs.study(claim.study_key)
    return nullcontext()


def _draft_of(claim: Claim, bench: Bench) -> Held:
    if claim.draft_key is None:
        raise FileNotFoundError("no draft was left for this stage")
    return bench.blobs.draft(claim.draft_key)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
