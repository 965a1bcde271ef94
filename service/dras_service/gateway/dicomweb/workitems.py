"""UPS-RS (PS3.18 11): a workflow manager asks for a run on a study that is here, and watches it.

A work item is a job, under the UID that its manager gave it: the request key of the job's row. So its state is the
job's, and it is claimed by us, as no other performer computes here. A work item is known for as long as request
keys are kept.
"""

import hashlib
import json
from typing import Any

from dras_service.api.jobs import JobState
from dras_service.api.options import JobOptions
from dras_service.gateway.dicomweb.datasets import Dataset
from dras_service.gateway.dicomweb.results import Results
from dras_service.header import is_uid
from dras_service.store.ending import Ending
from dras_service.store.lookup import JobLookup
from dras_service.store.rows import Job, Order, RequestKey
from dras_service.store.submission import Submission

_STUDY, _STATE, _INPUT = "0020000D", "00741000", "00404021"
_SCHEDULED, _IN_PROGRESS, _COMPLETED, _CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
_LABEL = "Lung densitometry"


class InvalidWorkItem(ValueError):
    """A work item that lacks what is needed; `str()` says what, without a value of it."""


class StudyMissing(LookupError):
    """The study of a work item is not here."""


class WorkItems:
    """Makes, shows and cancels work items. Raises StoreError."""

    def __init__(self, submission: Submission, jobs: JobLookup, ending: Ending, results: Results) -> None:
        self._submission = submission
        self._jobs = jobs
        self._ending = ending
        self._results = results

    def create(self, uid: str, body: bytes, *, tenant: str) -> Job | None:
        """Queue the run that a data set asks for; None where there is, or was, such a work item already.

        Raises InvalidWorkItem, StudyMissing, QuotaExceeded.
        """
        study_uid = _study_of(body)
        if self.find(uid, tenant=tenant) is not None:
            return None
        for earlier in self._jobs.of_study(study_uid, tenant=tenant, limit=1):
            stored = self._jobs.study(earlier.study_key, tenant=tenant)
            if stored is None:
                break
            order = Order(options=JobOptions(dicom=True).written(), study_uid=study_uid, repeat=True)
            submitted = self._submission.submit(stored, order, tenant=tenant, request=_key(uid))
            return submitted.job if submitted.is_new else None
        raise StudyMissing(study_uid)

    def find(self, uid: str, *, tenant: str) -> Job | None:
        """Return the job of a work item, or None."""
        found = self._submission.earlier(tenant, _key(uid))
        return None if found is None or found.purged_at is not None else found

    def cancel(self, uid: str, *, tenant: str) -> bool:
        """Ask for an end; False where the work item is final already."""
        job = self.find(uid, tenant=tenant)
        if job is None or job.state.is_terminal:
            return False
        self._ending.cancel(job.id, tenant=tenant)
        return True

    def dataset(self, uid: str, job: Job) -> Dataset:
        """Return a work item as it is now (PS3.4 CC.2.5.3)."""
        progress: dict[str, Any] = {"ProcedureStepProgress": [f"{100 * job.progress:.0f}"]}
        if job.stage is not None:
            progress["ProcedureStepProgressDescription"] = [job.stage]
        if job.code is not None:
            progress["ReasonForCancellation"] = [job.code]
        shown: dict[str, Any] = {
            "SOPClassUID": ["1.2.840.10008.5.1.4.34.6.1"],
            "SOPInstanceUID": [uid],
            "ProcedureStepState": [_state(job.state)],
            "ProcedureStepLabel": [_LABEL],
            "WorklistLabel": [_LABEL],
            "ScheduledProcedureStepPriority": ["MEDIUM"],
            "ProcedureStepProgressInformationSequence": [progress],
            "InputInformationSequence": [{"StudyInstanceUID": [job.study_uid or ""]}],
        }
        if job.state.has_result:
            made = [
                {
                    "StudyInstanceUID": [each.study_uid],
                    "SeriesInstanceUID": [each.series_uid],
                    "ReferencedSOPSequence": [
                        {
                            "ReferencedSOPClassUID": [each.sop_class],
                            "ReferencedSOPInstanceUID": [each.instance_uid],
                        }
                    ],
                }
                for each in self._results.of_job(job)
            ]
            performed = {"OutputInformationSequence": made}
            shown["UnifiedProcedureStepPerformedProcedureSequence"] = [performed]
        return shown


def _state(state: JobState) -> str:
    if state is JobState.QUEUED:
        return _SCHEDULED
    if state.is_running:
        return _IN_PROGRESS
    return _COMPLETED if state.has_result else _CANCELED


def _key(uid: str) -> RequestKey:
    digest = hashlib.sha256(f"ups\0{uid}".encode()).hexdigest()
    return RequestKey(digest, digest)


def _study_of(body: bytes) -> str:
    """Return the Study Instance UID of the one input of a work item in DICOM JSON. Raises InvalidWorkItem."""
    try:
        dataset = json.loads(body)
        dataset = dataset[0] if isinstance(dataset, list) else dataset
        state = dataset.get(_STATE, {}).get("Value", [_SCHEDULED])[0]
        study_uid = dataset[_INPUT]["Value"][0][_STUDY]["Value"][0]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidWorkItem("it names no input study in DICOM JSON") from error
    if state != _SCHEDULED:
        raise InvalidWorkItem("a new work item is SCHEDULED")
    if not isinstance(study_uid, str) or not is_uid(study_uid):
        raise InvalidWorkItem("its Study Instance UID is none")
    return study_uid
