"""`GET /v1/jobs/{id}`: where a job is."""

from typing import Any

from fastapi import APIRouter, Response

from dras_service.api.jobs import JobView
from dras_service.api.problems import ProblemCode
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.problems import responses, retry_after
from dras_service.gateway.views import job_view

_RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "seconds until it is worth asking again; absent once the state is final",
        "schema": {"type": "integer"},
    }
}


def jobs_router(lookup: Lookup) -> APIRouter:
    """Make the routes over `lookup`."""
    router = APIRouter(
        prefix="/jobs", tags=["jobs"], responses=responses(ProblemCode.JOB_NOT_FOUND, ProblemCode.NOT_READY)
    )

    @router.get("/{job_id}", summary="Ask where a job is", responses={200: {"headers": _RETRY_AFTER}})
    def get_job(job_id: str, response: Response) -> JobView:
        job = lookup.job(job_id)
        if not job.state.is_terminal:
            response.headers.update(retry_after(lookup.retry_after_s))
        return job_view(job)

    return router
