"""`/v1/jobs`: where jobs are, and an end to them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Query, Response, status
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from dras_service.api.jobs import JobList, JobState, JobView
from dras_service.api.problems import ProblemCode
from dras_service.gateway.auth.callers import Canceller, Purger, Reader
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.problems import ProblemRaised, Responses, responses, retry_after
from dras_service.gateway.views import job_list, job_view
from dras_service.store.ending import Ending
from dras_service.store.lookup import CURSOR
from dras_service.store.rows import JobFilter

_PROBLEMS = responses(ProblemCode.JOB_NOT_FOUND, ProblemCode.NOT_READY)
_RETRY_AFTER: dict[str, Any] = {
    "description": "seconds until it is worth asking again; absent once the state is final",
    "schema": {"type": "integer"},
}
_WAIT: Responses = {200: {"headers": {"Retry-After": _RETRY_AFTER}}}


# RFC 3339; pydantic would also take a number for seconds since the epoch, which the document does not promise.
Moment: TypeAlias = Annotated[
    AwareDatetime, BeforeValidator(lambda text: text if "T" in text.upper() else "")
]


class JobsQuery(BaseModel):
    """Which jobs a list shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: frozenset[JobState] = Field(frozenset(), description="states to show; all by default")
    code: str | None = Field(
        None, pattern="^[A-Z][A-Z0-9_]*$", max_length=64, description="only those that ended with this code"
    )
    since: Moment | None = Field(None, description="created then or later")
    until: Moment | None = Field(None, description="created earlier")
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, pattern=CURSOR, description="of the page before")

    def chosen(self) -> JobFilter:
        """Return the filter of the store."""
        return JobFilter(
            states=self.state, code=self.code, since=_seconds(self.since), until=_seconds(self.until)
        )


def jobs_router(lookup: Lookup, ending: Ending, *, wake_sweeper: Callable[[], None]) -> APIRouter:
    """Make the routes over `lookup` and `ending`; the sweeper removes what is purged."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.get(
        "",
        summary="List the jobs, newest first",
        responses=responses(ProblemCode.INVALID_PARAMETER, ProblemCode.NOT_READY),
    )
    def list_jobs(caller: Reader, query: Annotated[JobsQuery, Query()]) -> JobList:
        page = lookup.page(query.chosen(), tenant=caller.tenant, cursor=query.cursor, limit=query.limit)
        return job_list(page)

    @router.get("/{job_id}", summary="Ask where a job is", responses=_WAIT | _PROBLEMS)
    def get_job(job_id: str, caller: Reader, response: Response) -> JobView:
        job = lookup.job(job_id, tenant=caller.tenant)
        if not job.state.is_terminal:
            response.headers.update(retry_after(lookup.retry_after_s))
        return job_view(job)

    @router.post(
        "/{job_id}/cancel",
        summary="Cancel a job",
        description="A job that waits is cancelled at once, one that runs is stopped; `cancel_requested` says so"
        " until its state is final. Of one that has ended nothing changes.",
        responses=_PROBLEMS,
    )
    def cancel_job(job_id: str, caller: Canceller) -> JobView:
        job = ending.cancel(job_id, tenant=caller.tenant)
        if job is None or job.purged_at is not None:
            raise ProblemRaised(ProblemCode.JOB_NOT_FOUND)
        return job_view(job)

    @router.delete(
        "/{job_id}",
        summary="Remove a job and what came of it",
        description="Job, result and files can no longer be had once this is answered, and are gone from the disk"
        " soon after; so is the study, unless another job needs it.",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=_PROBLEMS | responses(ProblemCode.JOB_NOT_FINAL),
    )
    def purge_job(job_id: str, caller: Purger) -> None:
        job = lookup.job(job_id, tenant=caller.tenant)
        if not ending.purge(job_id, tenant=caller.tenant):
            raise ProblemRaised(ProblemCode.JOB_NOT_FINAL, state=job.state.value)
        wake_sweeper()

    return router


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
