"""`POST /v1/studies`: a study in, a job out; `POST /v1/validate`: what would come of it."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from dras_service.api.jobs import JobView
from dras_service.api.options import SeriesUid
from dras_service.api.problems import ProblemCode
from dras_service.api.validation import Validation
from dras_service.gateway.auth.callers import Submitter
from dras_service.gateway.bodies import MULTIPART_TYPES, RAW_TYPES
from dras_service.gateway.orders import Options
from dras_service.gateway.problems import Responses, responses
from dras_service.gateway.uploads import Intake
from dras_service.gateway.validation import Inspector
from dras_service.gateway.views import job_path, job_view

_FILE: dict[str, Any] = {"type": "string", "format": "binary", "minLength": 1}
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
    "required": ["file"],
}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "One archive or image as it is, or the files of one study as parts; names are ignored.",
    "content": {media_type: {"schema": _FILE} for media_type in RAW_TYPES}
    | {media_type: {"schema": _FORM} for media_type in MULTIPART_TYPES},
}
_LOCATION = {"Location": {"description": "the job's address", "schema": {"type": "string"}}}
_ANSWERS: Responses = {
    200: {"description": "The job that the same upload has made before", "headers": _LOCATION},
    202: {"headers": _LOCATION},
}
_UPLOAD_PROBLEMS = (
    ProblemCode.EMPTY_UPLOAD,
    ProblemCode.MALFORMED_UPLOAD,
    ProblemCode.UPLOAD_INCOMPLETE,
    ProblemCode.UPLOAD_TOO_SLOW,
    ProblemCode.UPLOAD_TOO_LARGE,
    ProblemCode.TOO_MANY_FILES,
    ProblemCode.ARCHIVE_INVALID,
    ProblemCode.ARCHIVE_TOO_LARGE,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.INVALID_PARAMETER,
    ProblemCode.RATE_LIMITED,
    ProblemCode.QUEUE_FULL,
    ProblemCode.TOO_BUSY,
    ProblemCode.DRAINING,
    ProblemCode.NOT_READY,
    ProblemCode.STORAGE_FULL,
)
_JOB_PROBLEMS = (
    ProblemCode.UNKNOWN_BUNDLE,
    ProblemCode.IDEMPOTENCY_KEY_IN_USE,
    ProblemCode.IDEMPOTENCY_KEY_REUSED,
    ProblemCode.QUEUE_QUOTA,
    ProblemCode.STORAGE_QUOTA,
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="a key of this one request, a UUID for one; sent again with the same upload, the answer is the"
        " same job. Up to 200 printable characters, quoted or not.",
        examples=['"8e03978e-40d5-43e8-bc93-6894a57f9324"'],
    ),
]


class SeriesQuery(BaseModel):
    """The query of a validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: SeriesUid | None = Field(
        None, description="Series Instance UID to use; the best one is chosen by default"
    )


def studies_router(intake: Intake, inspector: Inspector) -> APIRouter:
    """Make the routes over `intake` and `inspector`."""
    router = APIRouter(tags=["studies"])

    @router.post(
        "/studies",
        summary="Upload a study",
        status_code=status.HTTP_202_ACCEPTED,
        response_description="The job that was queued",
        openapi_extra={"requestBody": _BODY},
        responses=_ANSWERS | responses(*_UPLOAD_PROBLEMS, *_JOB_PROBLEMS),
    )
    async def submit_study(
        request: Request,
        response: Response,
        caller: Submitter,
        options: Options,
        key: IdempotencyKey = None,
    ) -> JobView:
        order = replace(options.order(), trace=request.state.trace)
        kept = await intake.take(request, order, tenant=caller.tenant, key=key)
        if not kept.is_new:
            response.status_code = status.HTTP_200_OK
        response.headers["Location"] = job_path(kept.job.id)
        return job_view(kept.job)

    @router.post(
        "/validate",
        summary="Ask what would come of a study",
        description="Headers are read, nothing is computed and nothing is kept.",
        response_description="How the study would be used, or why it would be refused",
        openapi_extra={"requestBody": _BODY},
        responses=responses(
            *_UPLOAD_PROBLEMS, ProblemCode.VALIDATION_FAILED, ProblemCode.VALIDATION_NOT_OFFERED
        ),
    )
    async def validate_study(
        request: Request, caller: Submitter, query: Annotated[SeriesQuery, Query()]
    ) -> Validation:
        async with intake.receive(request, tenant=caller.tenant) as received:
            found = await inspector.inspect(received.path, series_uid=query.series)
        counted = {"n_files": received.stored.n_files, "size_bytes": received.stored.size_bytes}
        return found.model_copy(update=counted)

    return router
