"""`/v1/events` and `/v1/jobs/{id}/events`: what happens, as it happens."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response, status
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import ProblemCode
from dras_service.gateway.auth.callers import Reader
from dras_service.gateway.events import EventHub
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.problems import Responses, responses

_MOST_ID = 2**63 - 1
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
    "X-Content-Type-Options": "nosniff",
}
_EXAMPLE = (
    "retry: 2000\n\nid: 17\nevent: job\n"
    'data: {"job_id":"5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11","at":"2026-01-31T12:00:04Z","state":"preparing",'
    '"stage":"registration","progress":0.52,"attempt":1,"code":null}\n\n: alive\n\n'
)
_STREAM: dict[str, Any] = {"example": _EXAMPLE}
_PROBLEMS = responses(
    ProblemCode.INVALID_PARAMETER, ProblemCode.TOO_BUSY, ProblemCode.DRAINING, ProblemCode.NOT_READY
)
LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=_MOST_ID,
        description="the `id:` of the last event that was seen; those after it are told first",
    ),
]


def _told(description: str) -> Responses:
    return {200: {"description": description, "content": {"text/event-stream": _STREAM}}}


def events_router(hub: EventHub, lookup: Lookup) -> APIRouter:
    """Make the routes over `hub`."""
    router = APIRouter(tags=["events"])

    @router.get(
        "/events",
        summary="Hear of all jobs",
        description="Server-sent events, from now on or from behind Last-Event-ID. A stream is ended after a while;"
        " a client then asks again from where it was.",
        response_class=StreamingResponse,
        responses=_told("Changes of the tenant's jobs") | _PROBLEMS,
    )
    async def hear_all(caller: Reader, last_event_id: LastEventId = None) -> Response:
        hub.check_room()
        return _stream(hub, caller.tenant, after=last_event_id)

    @router.get(
        "/jobs/{job_id}/events",
        summary="Hear of one job",
        description="Server-sent events of the job from its beginning, or from behind Last-Event-ID; they end with"
        " the job. 204 where it has ended and all was seen: a browser then stops asking.",
        response_class=StreamingResponse,
        responses=_told("Changes of the job")
        | {204: {"description": "There is nothing more to hear"}}
        | _PROBLEMS
        | responses(ProblemCode.JOB_NOT_FOUND),
    )
    async def hear_one(job_id: str, caller: Reader, last_event_id: LastEventId = None) -> Response:
        hub.check_room()
        job = await run_in_threadpool(lookup.job, job_id, tenant=caller.tenant)
        after = last_event_id or 0
        if job.state.is_terminal and await hub.last_id(caller.tenant, job_id) <= after:
            return Response(status_code=status.HTTP_204_NO_CONTENT)
        return _stream(hub, caller.tenant, job_id=job_id, after=after)

    return router


def _stream(hub: EventHub, tenant: str, *, after: int | None, job_id: str | None = None) -> StreamingResponse:
    return StreamingResponse(
        hub.listen(tenant, job_id=job_id, after=after), media_type="text/event-stream", headers=_HEADERS
    )
