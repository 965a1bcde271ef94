"""Rows of the store as the client sees them."""

from datetime import UTC, datetime

from dras_model.results.study import Stage
from dras_service.api.jobs import ArtifactList, ArtifactView, JobLinks, JobView
from dras_service.store.rows import Artifact, Job


def job_path(job_id: str) -> str:
    """Return the address of a job."""
    return f"/v1/jobs/{job_id}"


def job_view(job: Job) -> JobView:
    """Show a job."""
    path = job_path(job.id)
    return JobView(
        id=job.id,
        state=job.state,
        bundle=job.bundle,
        stage=None if job.stage is None else Stage(job.stage),
        progress=job.progress,
        attempts=job.attempts,
        created_at=datetime.fromtimestamp(job.created_at, UTC),
        updated_at=datetime.fromtimestamp(job.updated_at, UTC),
        code=job.code,
        message=job.message,
        links=JobLinks(job=path, result=f"{path}/result", artifacts=f"{path}/artifacts"),
    )


def artifact_list(job_id: str, artifacts: tuple[Artifact, ...]) -> ArtifactList:
    """Show the files of a result."""
    return ArtifactList(
        artifacts=tuple(
            ArtifactView(
                name=file.name,
                media_type=file.media_type,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                link=f"{job_path(job_id)}/artifacts/{file.name}",
            )
            for file in artifacts
        )
    )
