"""`/v1/jobs/{id}/result` and `/artifacts`: what came of a job."""

import hashlib
import io
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from dras_model.results.study import StudyResult
from dras_service.api.jobs import ArtifactList
from dras_service.api.problems import ProblemCode
from dras_service.gateway.auth.callers import Reader
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.problems import ProblemRaised, Responses, responses
from dras_service.gateway.representation import Representation, answer
from dras_service.gateway.views import artifact_list
from dras_service.store.blobs import BlobStore

_Route = TypeVar("_Route", bound=Callable[..., Any])

_PROBLEMS = responses(
    ProblemCode.JOB_NOT_FOUND,
    ProblemCode.RESULT_NOT_READY,
    ProblemCode.STUDY_REJECTED,
    ProblemCode.JOB_FAILED,
    ProblemCode.JOB_CANCELLED,
    ProblemCode.NOT_READY,
)
_TEXT = {"type": "string"}
_HEADERS: dict[str, Any] = {
    "ETag": {"description": "the strong validator: SHA-256 of the bytes", "schema": _TEXT},
    "Repr-Digest": {"description": "RFC 9530: SHA-256 of the whole file", "schema": _TEXT},
    "Accept-Ranges": {"description": "`bytes`", "schema": _TEXT},
}
_BYTES = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_KNOWN: Responses = {304: {"description": "What If-None-Match names is still right"}}
_PART: Responses = {
    206: {"description": "The part that Range asks for", "content": _BYTES, "headers": _HEADERS}
}
_CONDITIONS: list[dict[str, Any]] = [
    {"name": name, "in": "header", "required": False, "schema": _TEXT, "description": description}
    for name, description in (
        ("If-None-Match", "the ETag of what is there already"),
        ("Range", "the bytes that are wanted, one range: `bytes=0-1023`"),
        ("If-Range", "the ETag that the range belongs to; of anything else all is sent"),
    )
]


def results_router(lookup: Lookup, blobs: BlobStore) -> APIRouter:
    """Make the routes over `lookup` and the files."""
    router = APIRouter(prefix="/jobs", tags=["results"], responses=_PROBLEMS)

    @_get_and_head(
        router,
        "/{job_id}/result",
        summary="Get the result",
        response_model=StudyResult,
        responses={200: {"headers": _HEADERS}} | _KNOWN,
        openapi_extra={"parameters": _CONDITIONS[:1]},
    )
    def get_result(job_id: str, caller: Reader, request: Request) -> Response:
        document = lookup.document(job_id, tenant=caller.tenant).encode()
        shown = Representation("application/json", len(document), hashlib.sha256(document).hexdigest())
        return answer(request, shown, opened=lambda: io.BytesIO(document))

    @router.get("/{job_id}/artifacts", summary="List the result's files")
    def list_artifacts(job_id: str, caller: Reader) -> ArtifactList:
        return artifact_list(job_id, lookup.outputs(job_id, tenant=caller.tenant).artifacts)

    @_get_and_head(
        router,
        "/{job_id}/artifacts/{name}",
        summary="Get one of the result's files",
        response_class=Response,
        responses={200: {"description": "The file", "content": _BYTES, "headers": _HEADERS}}
        | _PART
        | _KNOWN
        | responses(
            ProblemCode.JOB_NOT_FOUND, ProblemCode.ARTIFACT_NOT_FOUND, ProblemCode.RANGE_NOT_SATISFIABLE
        ),
        openapi_extra={"parameters": _CONDITIONS},
    )
    def get_artifact(job_id: str, name: str, caller: Reader, request: Request) -> Response:
        outputs = lookup.outputs(job_id, tenant=caller.tenant)
        # The name is looked up in the index: what a client sends never becomes a path.
        file = next((file for file in outputs.artifacts if file.name == name), None)
        if file is None:
            raise ProblemRaised(ProblemCode.ARTIFACT_NOT_FOUND)
        shown = Representation(file.media_type, file.size_bytes, file.sha256, file.name)
        path = blobs.output_path(outputs, file)
        return answer(request, shown, opened=lambda: path.open("rb"))

    return router


def _get_and_head(router: APIRouter, path: str, **options: Any) -> Callable[[_Route], _Route]:
    """Add a route for both methods; each is an operation of its own."""

    def add(route: _Route) -> _Route:
        return router.head(path, **options)(router.get(path, **options)(route))

    return add
