"""Rows of the store as the client sees them."""

from datetime import UTC, datetime
from typing import overload

from dras_model.results.study import Region, Stage
from dras_service.api.jobs import ArtifactList, ArtifactView, JobLinks, JobList, JobView
from dras_service.api.similarity import NeighbourView, SimilarList
from dras_service.api.webhooks import WebhookView
from dras_service.store.rows import Artifact, Job, Nearest, Page, Webhook


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
        series=job.series_uid,
        options=dict(job.options or {}),
        priority=job.priority,
        cancel_requested=job.cancel_requested_at is not None,
        stage=None if job.stage is None else Stage(job.stage),
        progress=job.progress,
        attempts=job.attempts,
        created_at=_moment(job.created_at),
        updated_at=_moment(job.updated_at),
        expires_at=_moment(job.expires_at),
        code=job.code,
        message=job.message,
        links=JobLinks(
            job=path, result=f"{path}/result", artifacts=f"{path}/artifacts", events=f"{path}/events"
        ),
    )


def job_list(page: Page) -> JobList:
    """Show a page of jobs."""
    return JobList(jobs=tuple(map(job_view, page.jobs)), cursor=page.cursor)


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


def similar_list(job_id: str, region: Region, nearest: Nearest, *, training: str) -> SimilarList:
    """Show what is alike."""
    return SimilarList(
        job_id=job_id,
        region=region,
        n_patches=nearest.n_patches,
        bundle_sha256=nearest.space,
        training=training,
        n_compared=nearest.n_compared,
        is_complete=nearest.is_complete,
        neighbours=tuple(
            NeighbourView(
                job_id=other.job_id,
                region=Region(other.region),
                similarity=other.similarity,
                n_patches=other.n_patches,
                created_at=_moment(other.created_at),
            )
            for other in nearest.neighbours
        ),
    )


def webhook_view(webhook: Webhook) -> WebhookView:
    """Show a webhook, without its secret."""
    return WebhookView(
        id=webhook.id,
        url=webhook.url,
        states=tuple(sorted(webhook.states)),
        created_at=_moment(webhook.created_at),
        disabled_at=_moment(webhook.disabled_at),
    )


@overload
def _moment(seconds: float) -> datetime: ...
@overload
def _moment(seconds: float | None) -> datetime | None: ...
def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
