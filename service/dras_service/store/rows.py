"""What the store hands out: frozen rows, so that nothing outside holds a connection."""

from dataclasses import dataclass

from dras_service.api.jobs import JobState


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """An upload at rest. `key` is its address among the blobs, made from its content."""

    key: str
    sha256: str
    size_bytes: int
    n_files: int


@dataclass(frozen=True, slots=True)
class Job:
    """One job; times are seconds since the epoch."""

    id: str
    study_key: str
    series_uid: str | None
    bundle: str | None
    state: JobState
    stage: str | None
    progress: float
    code: str | None
    message: str | None
    attempts: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job. `fence` tells it from every earlier and later hold on the same job."""

    job_id: str
    study_key: str
    series_uid: str | None
    attempt: int
    fence: int
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a result."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files of a result, at rest under `key`."""

    key: str
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: ids given back to the queue, and ids set aside for good."""

    requeued: tuple[str, ...]
    quarantined: tuple[str, ...]
