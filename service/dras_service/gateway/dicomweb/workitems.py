"""UPS-RS (PS3.18 11): a workflow manager asks for a run on a study that is here, finds it, and watches it.

A work item is a job, under the UID that its manager gave it. So its state is the job's, and it is claimed by us, as
no other performer computes here. Leaves out what an item says as DICOM JSON: `workitem_datasets`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice

from starlette.datastructures import QueryParams

from dras_service.api.options import JobOptions
from dras_service.gateway.dicomweb import matching
from dras_service.gateway.dicomweb.datasets import Dataset
from dras_service.gateway.dicomweb.matching import Fits
from dras_service.gateway.dicomweb.results import Results
from dras_service.gateway.dicomweb.workitem_datasets import Asked, shown, states_like, station_of
from dras_service.store.ending import Ending
from dras_service.store.lookup import JobLookup
from dras_service.store.rows import Job, Order, RequestKey, WorkItem
from dras_service.store.submission import Submission
from dras_service.store.workitems import WorkItemRows

MOST_READ = 10_000  # work items that one search looks at
_PAGE = 200
_UID, _STATE = "SOPInstanceUID", "ProcedureStepState"
_STUDY, _STATION = (
    "InputInformationSequence.StudyInstanceUID",
    "ScheduledStationNameCodeSequence.CodeValue",
)
_WORDS: Mapping[str, Callable[[str, str], Fits]] = {
    "ProcedureStepLabel": matching.text,
    "WorklistLabel": matching.text,
    "ScheduledProcedureStepPriority": matching.code,
    "ScheduledProcedureStepStartDateTime": matching.moment,
}
_FILTERS = frozenset({_UID, _STATE, _STUDY, _STATION, *_WORDS})


class StudyMissing(LookupError):
    """The study of a work item is not here."""


class WorkItems:
    """Makes, finds, changes and cancels work items. Raises StoreError."""

    def __init__(
        self, kept: WorkItemRows, submission: Submission, jobs: JobLookup, ending: Ending, results: Results
    ) -> None:
        self._kept = kept
        self._submission = submission
        self._jobs = jobs
        self._ending = ending
        self._results = results

    def create(self, uid: str, asked: Asked, *, tenant: str) -> Job | None:
        """Queue the run that a data set asks for; None where there is, or was, such a work item already.

        Raises StudyMissing, QuotaExceeded.
        """
        if self.find(uid, tenant=tenant) is not None:
            return None
        for earlier in self._jobs.of_study(asked.study_uid, tenant=tenant, limit=1):
            stored = self._jobs.study(earlier.study_key, tenant=tenant)
            if stored is None:
                break
            order = Order(
                options=JobOptions(dicom=True).written(),
                study_uid=asked.study_uid,
                repeat=True,
                priority=asked.priority or 0,
            )
            # The same key again is the job there is: one that was made before a crash gets its item now.
            made = self._submission.submit(stored, order, tenant=tenant, request=_key(uid)).job
            return made if self._kept.add(uid, made.id, asked.words, tenant=tenant) else None
        raise StudyMissing(asked.study_uid)

    def find(self, uid: str, *, tenant: str) -> WorkItem | None:
        """Return a work item, or None."""
        return self._kept.find(uid, tenant=tenant)

    def search(self, parameters: QueryParams, *, tenant: str, limit: int, offset: int) -> list[Dataset]:
        """Return a page of the work items that meet every filter, the latest first. Raises InvalidParameters."""
        asked = matching.filters_of(parameters, _FILTERS)
        conditions = {
            keyword: form(keyword, asked[keyword]) for keyword, form in _WORDS.items() if keyword in asked
        }
        if _STATION in asked:
            conditions[_STATION] = matching.text(_STATION, asked[_STATION])
        found = (
            item
            for item in self._candidates(asked, tenant=tenant)
            if all(fits(_word(item, keyword)) for keyword, fits in conditions.items())
        )
        return [self.dataset(item) for item in islice(found, offset, offset + limit)]

    def update(self, uid: str, asked: Asked, *, tenant: str) -> bool:
        """Change a work item that waits; False where it is under way, is final or is not there."""
        return self._kept.update(uid, asked.words, priority=asked.priority, tenant=tenant)

    def cancel(self, uid: str, *, tenant: str) -> bool:
        """Ask for an end; False where the work item is final already."""
        item = self.find(uid, tenant=tenant)
        if item is None or item.job.state.is_terminal:
            return False
        self._ending.cancel(item.job.id, tenant=tenant)
        return True

    def dataset(self, item: WorkItem) -> Dataset:
        """Return a work item as it is now, with the objects that it made."""
        return shown(item, self._results.of_job(item.job) if item.job.state.has_result else ())

    def _candidates(self, asked: Mapping[str, str], *, tenant: str) -> Iterator[WorkItem]:
        """Yield the work items that meet what the database is asked, pages as they are needed."""
        states = states_like(matching.code(_STATE, asked[_STATE])) if _STATE in asked else ()
        if _STATE in asked and not states:
            return
        for offset in count(0, _PAGE):
            if offset >= MOST_READ:
                raise matching.too_broad()
            page = self._kept.page(
                tenant=tenant,
                uids=matching.uids(_UID, asked[_UID]) if _UID in asked else (),
                study_uids=matching.uids(_STUDY, asked[_STUDY]) if _STUDY in asked else (),
                states=states,
                limit=_PAGE,
                offset=offset,
            )
            yield from page
            if len(page) < _PAGE:
                return


def _word(item: WorkItem, keyword: str) -> str:
    found = station_of(item) if keyword == _STATION else shown(item).get(keyword, [""])[0]
    return str(found)


def _key(uid: str) -> RequestKey:
    digest = hashlib.sha256(f"ups\0{uid}".encode()).hexdigest()
    return RequestKey(digest, digest)
