"""The doorman: a hint comes in, one attempt at the next job is made, and what failed is sorted (`settling`).

Nothing that happens here loses a job: what cannot be written down now comes back when the lease runs out.
"""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from celery import Celery

from dras_service.api.queues import JobQueue
from dras_service.observability.tracing import NoTracing, Tracing
from dras_service.queue.app import task_name
from dras_service.queue.hints import BrokerUnreachable
from dras_service.queue.holders import holder
from dras_service.settings import EncodeSettings, WorkerSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import StoreError
from dras_service.store.leases import Leases
from dras_service.store.rows import Claim
from dras_service.worker.draining import Drain
from dras_service.worker.engine import DeviceLost, Engine, StagedEngine
from dras_service.worker.settling import Settlement
from dras_service.worker.split import Batch, Bench, companions, finish, prepare
from dras_service.worker.stages import attempt

_log = logging.getLogger(__name__)
_DEVICE_LOST = 75  # sysexits.h: EX_TEMPFAIL


@dataclass(frozen=True, slots=True)
class Split:
    """What a worker needs to serve the queues of the stages; `pass_on` sends a hint."""

    engine: StagedEngine
    encode: EncodeSettings
    queues: tuple[JobQueue, ...]
    pass_on: Callable[[str, JobQueue], None]


def end_process() -> None:
    """End this process at once: the destructors of a runtime whose GPU has failed may never return."""
    logging.shutdown()
    os._exit(_DEVICE_LOST)


class Doorman:
    """Takes a job up, lets it be computed, and writes down how it ended."""

    def __init__(
        self,
        *,
        leases: Leases,
        blobs: BlobStore,
        engine: Engine,
        settings: WorkerSettings,
        drain: Drain | None = None,
        tracing: Tracing | None = None,
        split: Split | None = None,
    ) -> None:
        self._tracing = tracing or NoTracing()
        self._leases = leases
        self._blobs = blobs
        self._engine = engine
        self._settings = settings
        self._drain = drain or Drain(grace_s=settings.shutdown_grace_s)
        self._split = split
        self._settlement = Settlement(leases, settings)

    def admit(self, hinted: str, queue: JobQueue = JobQueue.STUDY) -> None:
        """Process the job whose turn it is, which need not be the hinted one; none, where none waits.

        A hint of another queue than that of the job is passed on: a worker that serves only that one needs it.
        """
        owner = holder()
        queues = (JobQueue.STUDY,) if self._split is None else self._split.queues
        try:
            claim = self._leases.claim(owner=owner, lease_s=self._settings.lease_s, queues=queues)
        except StoreError as error:
            _log.error("job %s is left to another hint: %s", hinted, type(error).__name__)
            return
        if claim is None:
            return
        if claim.queue is not queue:
            self._pass_on(hinted, queue)
        if claim.queue is JobQueue.ENCODE:
            self._encode(claim, owner)
        else:
            with self._traced(claim):
                self._attempt(claim, partial(self._work, claim))

    def _work(self, claim: Claim) -> None:
        if claim.queue is JobQueue.PREPARE:
            prepare(claim, self._bench())
        elif claim.queue is JobQueue.FINISH:
            finish(claim, self._bench())
        else:
            attempt(
                claim,
                leases=self._leases,
                blobs=self._blobs,
                engine=self._engine,
                settings=self._settings,
                drain=self._drain,
            )

    def _encode(self, first: Claim, owner: str) -> None:
        """Encode a job and those that can be encoded with it; each is committed, or fails, apart."""
        bench = self._bench()
        batch = Batch(bench)
        with ExitStack() as spans:
            try:
                batch.add(first)
                spans.enter_context(self._traced(first))
                for claim in companions(first, bench, owner=owner):
                    batch.add(claim)
                    spans.enter_context(self._traced(claim))
                with batch.encoded() as drafts:
                    for claim in batch.claims:
                        self._attempt(claim, partial(batch.hand_over, claim, drafts[claim.job_id]))
            except Exception as error:  # noqa: BLE001 - sorted by the settlement
                for claim in batch.claims:
                    why = batch.lost.get(claim.job_id, error)
                    self._settlement.settle(claim, why, alone=len(batch.claims) == 1)
                _end_if_lost(error)

    def _attempt(self, claim: Claim, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the doorman: a defect ends the job, not the worker
            self._settlement.settle(claim, error)
            _end_if_lost(error)

    def _bench(self) -> Bench:
        if self._split is None:
            raise TypeError("a worker without the stages was given one")
        return Bench(
            leases=self._leases,
            blobs=self._blobs,
            engine=self._split.engine,
            settings=self._settings,
            encode=self._split.encode,
            drain=self._drain,
        )

    def _pass_on(self, hinted: str, queue: JobQueue) -> None:
        try:
            if self._split is not None:
                self._split.pass_on(hinted, queue)
        except BrokerUnreachable as error:
            _log.warning("a hint is left to the sweeper: %s", error)

    def _traced(self, claim: Claim) -> ExitStack:
        """Open the span of an attempt."""
        with ExitStack() as stack:
            span = stack.enter_context(self._tracing.working("process study", claim.trace))
            span.set("dras.job", claim.job_id)
            span.set("dras.queue", claim.queue.value)
            span.set("dras.attempt", claim.attempt)
            return stack.pop_all()


def _end_if_lost(error: Exception) -> None:
    if isinstance(error, DeviceLost):
        _log.critical("this process ends: its GPU has failed")
        end_process()


def add_tasks(celery: Celery, doorman: Doorman) -> None:
    """Register a task for each queue; all do the same, and say where their hint came from."""
    for queue in JobQueue:
        _add_task(celery, doorman, queue)


def _add_task(celery: Celery, doorman: Doorman, queue: JobQueue) -> None:
    @celery.task(name=task_name(queue))  # type: ignore[untyped-decorator]
    def process(job_id: str) -> None:
        doorman.admit(job_id, queue)
