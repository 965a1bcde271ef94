"""Having a service compute: a study is sent once, under a key that the case determines, and its result is fetched.

Sent again after a crash it is the job there is. A service that is busy or away is waited for; how many studies are
sent at once is the number of places.
"""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TypeVar

from dras_client import Client, Job
from dras_client.errors import (
    AccessRefused,
    DownloadCorrupt,
    JobNotFound,
    NoRoom,
    ProblemError,
    ServiceBusy,
    ServiceUnreachable,
    SourceUnreadable,
    UnexpectedAnswer,
    UnknownBundle,
    UploadInterrupted,
)
from dras_model.outputs.folder import new_folder
from dras_model.results.codes import Code
from dras_service.batch.cases import Case, Done, Failed, GivenBack, Outcome
from dras_service.batch.job import BatchJob, Service
from dras_service.batch.places import Notes

_Answer = TypeVar("_Answer")
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 30.0
_POLL_S = 1.0


class ServicePlace:
    """Room for one study at a service. Used by one thread at a time; `stop` may be set by another."""

    def __init__(self, client: Client, job: BatchJob, service: Service, *, stop: Event) -> None:
        self._client = client
        self._job = job
        self._service = service
        self._stop = stop

    def compute(self, case: Case, source: Path, out: Path, *, notes: Notes) -> Outcome:
        """Have a case computed and save its files; `notes` hears the job's id as soon as there is one.

        Raises GivenBack when it is stopped, DrasClientError where the service stays away, SetupRefused for `out`.
        """
        try:
            job = self._patiently(lambda: self._submitted(case, source, notes))
            self._wait(job, notes)
            notes.at("fetch", 0.0)
            return self._patiently(lambda: _fetched(job, out))
        except (AccessRefused, UnknownBundle):
            raise  # no case would fare better
        except ProblemError as refused:
            return Failed(refused.study_code or refused.code, refused.detail)
        except SourceUnreadable:
            return Failed.of(Code.NOT_FOUND, path=case.source)

    def end(self) -> None:
        """Close the connections."""
        self._client.close()

    def _submitted(self, case: Case, source: Path, notes: Notes) -> Job:
        """Return the job of the case: the one it has, or the one that sending it makes.

        One that has ended without a result is asked for anew: the key of the case would bring the same one back.
        """
        if case.job_id is not None:
            try:
                job = self._client.job(case.job_id)
                if job.state.has_result or not job.state.is_terminal:
                    return job
            except JobNotFound:  # purged in the meantime
                pass
        job = self._client.submit(
            source,
            series=case.series_uid,
            bundle=self._job.options.bundle,
            options=self._job.options.job,
            priority=self._service.priority,
            idempotency_key=f"{case.key}-{case.attempt}" if case.job_id is None else None,
        )
        notes.accepted(job.id)
        return job

    def _wait(self, job: Job, notes: Notes) -> None:
        while not job.state.is_terminal:
            if self._stop.wait(_POLL_S):
                raise GivenBack  # the job goes on; the next run finds it by its id
            view = self._patiently(job.status)
            notes.at(view.stage.value if view.stage is not None else view.state.value, view.progress)

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask until the service is there and has room; one that stays away is borne for `patience_s`."""
        away_since: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except (ServiceUnreachable, UnexpectedAnswer, DownloadCorrupt, UploadInterrupted):
                away_since = away_since or time.monotonic()
                if time.monotonic() + pause_s > away_since + self._service.patience_s:
                    raise
            except (ServiceBusy, NoRoom):  # busy is not away: it is waited for without an end
                away_since = None
            if self._stop.wait(pause_s):
                raise GivenBack
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)


def _fetched(job: Job, out: Path) -> Outcome:
    status = job.result().status
    with new_folder(out, overwrite=True) as folder:
        job.download(folder)
    return Done(status)
