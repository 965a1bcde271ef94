"""`POST /v1/studies`: a study in, a job out."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status

from dras_service.api.bundles import BundleName
from dras_service.api.jobs import JobView
from dras_service.api.problems import ProblemCode
from dras_service.gateway.bodies import MULTIPART_TYPES, RAW_TYPES
from dras_service.gateway.problems import Responses, responses
from dras_service.gateway.uploads import Intake
from dras_service.gateway.views import job_path, job_view

_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "One archive or image as it is, or the files of one study as parts; names are ignored.",
    "content": {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in RAW_TYPES}
    | {media_type: {"schema": _FORM} for media_type in MULTIPART_TYPES},
}
_LOCATION: Responses = {
    202: {"headers": {"Location": {"description": "the job's address", "schema": {"type": "string"}}}}
}
_PROBLEMS = responses(
    ProblemCode.EMPTY_UPLOAD,
    ProblemCode.MALFORMED_UPLOAD,
    ProblemCode.UPLOAD_TOO_SLOW,
    ProblemCode.UPLOAD_TOO_LARGE,
    ProblemCode.TOO_MANY_FILES,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.INVALID_PARAMETER,
    ProblemCode.UNKNOWN_BUNDLE,
    ProblemCode.NOT_READY,
    ProblemCode.STORAGE_FULL,
)

SeriesUid = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern=r"^[0-9.]+$",
        description="Series Instance UID to use; the best one is chosen by default",
        examples=["1.2.826.0.1.3680043.8.498.1"],
    ),
]
Bundle = Annotated[
    BundleName | None,
    Query(
        description="Model bundle that encodes the study, one of /v1/bundles; the default one by default",
        examples=["drasclr"],
    ),
]


def studies_router(intake: Intake) -> APIRouter:
    """Make the routes over `intake`."""
    router = APIRouter(tags=["studies"])

    @router.post(
        "/studies",
        summary="Upload a study",
        status_code=status.HTTP_202_ACCEPTED,
        response_description="The job that was queued",
        openapi_extra={"requestBody": _BODY},
        responses=_LOCATION | _PROBLEMS,
    )
    async def submit_study(
        request: Request, response: Response, series: SeriesUid = None, bundle: Bundle = None
    ) -> JobView:
        job = await intake.take(request, series_uid=series, bundle=bundle)
        response.headers["Location"] = job_path(job.id)
        return job_view(job)

    return router
