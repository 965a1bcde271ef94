"""`/v1/jobs/{id}/result` and `/artifacts`: what came of a job."""

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from dras_model.results.study import StudyResult
from dras_service.api.jobs import ArtifactList
from dras_service.api.problems import ProblemCode
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.problems import ProblemRaised, Responses, responses
from dras_service.gateway.views import artifact_list
from dras_service.store.blobs import BlobStore

_PROBLEMS = responses(
    ProblemCode.JOB_NOT_FOUND,
    ProblemCode.RESULT_NOT_READY,
    ProblemCode.STUDY_REJECTED,
    ProblemCode.JOB_FAILED,
    ProblemCode.NOT_READY,
)
_FILE: Responses = {
    200: {
        "description": "The file",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def results_router(lookup: Lookup, blobs: BlobStore) -> APIRouter:
    """Make the routes over `lookup` and the files."""
    router = APIRouter(prefix="/jobs", tags=["results"], responses=_PROBLEMS)

    @router.get("/{job_id}/result", summary="Get the result", response_model=StudyResult)
    def get_result(job_id: str) -> Response:
        return Response(lookup.document(job_id), media_type="application/json")

    @router.get("/{job_id}/artifacts", summary="List the result's files")
    def list_artifacts(job_id: str) -> ArtifactList:
        return artifact_list(job_id, lookup.outputs(job_id).artifacts)

    @router.get(
        "/{job_id}/artifacts/{name}",
        summary="Get one of the result's files",
        response_class=FileResponse,
        responses=_FILE | responses(ProblemCode.JOB_NOT_FOUND, ProblemCode.ARTIFACT_NOT_FOUND),
    )
    def get_artifact(job_id: str, name: str) -> FileResponse:
        outputs = lookup.outputs(job_id)
        # The name is looked up in the index: what a client sends never becomes a path.
        file = next((file for file in outputs.artifacts if file.name == name), None)
        if file is None:
            raise ProblemRaised(ProblemCode.ARTIFACT_NOT_FOUND)
        return FileResponse(
            blobs.output_path(outputs, file),
            media_type=file.media_type,
            filename=file.name,
            headers={"ETag": f'"{file.sha256}"', "X-Content-Type-Options": "nosniff"},
        )

    return router
