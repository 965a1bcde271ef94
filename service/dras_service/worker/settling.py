"""What an error means for the job it was met with: the one place that sorts them.

A refused study is rejected, a fault in the set-up fails the job, what may pass by itself is tried again, and a
defect of ours fails the job too. What cannot be written down now comes back when the lease runs out.
"""

import logging

from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.api.jobs import FAULT_SENTENCES, Fault
from dras_service.observability.logs import outline
from dras_service.settings import WorkerSettings
from dras_service.store.errors import Cancelled, LeaseLost, StoreError, is_full
from dras_service.store.leases import Leases
from dras_service.store.rows import Claim
from dras_service.worker.draining import Drained
from dras_service.worker.engine import DeviceLost

_log = logging.getLogger(__name__)
_MAY_PASS = (OSError, MemoryError, StoreError, DeviceLost)


class Settlement:
    """Writes down how attempts ended that committed nothing."""

    def __init__(self, leases: Leases, settings: WorkerSettings) -> None:
        self._leases = leases
        self._settings = settings

    def settle(self, claim: Claim, error: Exception, *, alone: bool = True) -> None:
        """End the job or give it back, as `error` says. Raises nothing: a job is left to its lease at worst.

        An error of several jobs together need not be this one's: it is tried again, `alone` then.
        """
        try:
            self._settle(claim, error, alone=alone)
        except LeaseLost:
            _log.warning("job %s was given to another worker; this attempt is dropped", claim.job_id)
        except StoreError as fault:
            _log.error("job %s is left to its lease: %s", claim.job_id, type(fault).__name__)

    def _settle(self, claim: Claim, error: Exception, *, alone: bool) -> None:
        match error:
            case LeaseLost():
                raise error
            case Cancelled():
                _log.info("job %s was cancelled and has stopped", claim.job_id)
                self._leases.end_cancelled(claim)
            case Drained():
                _log.warning("job %s is given back: the worker stops", claim.job_id)
                self._leases.give_back(claim, delay_s=0.0, counts=False)
            case _ if is_full(error):
                _log.error("job %s met %s", claim.job_id, outline(error))
                # No fault of the job's, and nothing that a third attempt in a row would change.
                self._leases.give_back(claim, delay_s=self._settings.full_disk_delay_s, counts=False)
            case _ if isinstance(error, _MAY_PASS) or not alone:
                _log.error("job %s met %s", claim.job_id, outline(error))
                self._try_again(claim)
            case StudyRefused():
                self._leases.reject(claim, code=error.code, message=str(error))
            case SetupRefused():
                _log.error("job %s failed: %s", claim.job_id, error.code)
                self._leases.fail(claim, code=error.code, message=str(error))
            case _:
                _log.error("job %s met a defect: %s", claim.job_id, outline(error))
                self._fail_internally(claim)

    def _try_again(self, claim: Claim) -> None:
        if claim.attempt < self._settings.max_attempts:
            delay_s = self._settings.retry_delay_s * 2 ** (claim.attempt - 1)
            self._leases.give_back(claim, delay_s=delay_s)
        else:
            self._fail_internally(claim)

    def _fail_internally(self, claim: Claim) -> None:
        self._leases.fail(claim, code=Fault.INTERNAL, message=FAULT_SENTENCES[Fault.INTERNAL])
