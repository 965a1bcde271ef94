"""The doorman: a job id comes in, one attempt is made, and what failed is sorted.

A refused study is rejected, a fault in the set-up fails the job, what may pass by itself is tried
again, and a defect of ours fails the job too. Nothing that happens here loses a job: what cannot be
written down now comes back when the lease runs out.
"""

import logging
import os
import socket
import traceback
from pathlib import Path

from celery import Celery

from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.api.jobs import FAULT_SENTENCES, Fault
from dras_service.queue.app import TASK
from dras_service.settings import WorkerSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import LeaseLost, StoreError
from dras_service.store.jobs import JobStore
from dras_service.store.rows import Claim
from dras_service.worker.engine import Engine
from dras_service.worker.stages import attempt

_log = logging.getLogger(__name__)


class Doorman:
    """Takes a job up, lets it be computed, and writes down how it ended."""

    def __init__(
        self, *, store: JobStore, blobs: BlobStore, engine: Engine, settings: WorkerSettings
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._engine = engine
        self._settings = settings

    def admit(self, job_id: str) -> None:
        """Process one job; one that waits for nobody is left alone."""
        owner = f"{socket.gethostname()}:{os.getpid()}"
        try:
            claim = self._store.claim(job_id, owner=owner, lease_s=self._settings.lease_s)
            if claim is not None:
                self._process(claim)
        except LeaseLost:
            _log.warning("job %s was given to another worker; this attempt is dropped", job_id)
        except StoreError as error:
            _log.error("job %s is left to its lease: %s", job_id, type(error).__name__)

    def _process(self, claim: Claim) -> None:
        try:
            attempt(claim, store=self._store, blobs=self._blobs, engine=self._engine, settings=self._settings)
        except StudyRefused as refusal:
            self._store.reject(claim, code=refusal.code, message=str(refusal))
        except SetupRefused as refusal:
            _log.error("job %s failed: %s", claim.job_id, refusal.code)
            self._store.fail(claim, code=refusal.code, message=str(refusal))
        except LeaseLost:
            raise
        except (OSError, MemoryError, StoreError) as error:
            _log.error("job %s met %s", claim.job_id, _outline(error))
            self._try_again(claim)
        except Exception as error:  # noqa: BLE001 - the doorman: a defect ends the job, not the worker
            _log.error("job %s met a defect: %s", claim.job_id, _outline(error))
            self._fail_internally(claim)

    def _try_again(self, claim: Claim) -> None:
        if claim.attempt < self._settings.max_attempts:
            delay_s = self._settings.retry_delay_s * 2 ** (claim.attempt - 1)
            self._store.give_back(claim, delay_s=delay_s)
        else:
            self._fail_internally(claim)

    def _fail_internally(self, claim: Claim) -> None:
        self._store.fail(claim, code=Fault.INTERNAL, message=FAULT_SENTENCES[Fault.INTERNAL])


def add_task(celery: Celery, doorman: Doorman) -> None:
    """Register the one task there is."""

    @celery.task(name=TASK)  # type: ignore[untyped-decorator]
    def process(job_id: str) -> None:
        doorman.admit(job_id)


def _outline(error: BaseException) -> str:
    """Return an error's type and where it came from; its text might quote the study."""
    frames = traceback.extract_tb(error.__traceback__)
    way = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {way}"
