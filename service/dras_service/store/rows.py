"""What the store takes and hands out: frozen rows, so that nothing outside holds a connection.

Times are seconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dras_service.api.jobs import JobState
from dras_service.api.queues import JobQueue


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """An upload at rest. `key` is its address among the blobs: `<tenant>/<made from its content>`."""

    key: str
    sha256: str
    size_bytes: int
    n_files: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks to be done with a study."""

    series_uid: str | None = None
    bundle: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # must be JSON
    priority: int = 0  # the highest first
    expires_at: float | None = None
    repeat: bool = False  # compute even where the same was computed before
    trace: str | None = None  # the span that asks, as a W3C traceparent
    study_uid: str | None = None  # as the door has read it
    send_to: tuple[str, ...] = ()  # systems that get the DICOM objects of the result


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An Idempotency-Key and the digest of the request that came with it."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Job:
    """One job."""

    id: str
    tenant: str
    study_key: str
    series_uid: str | None
    bundle: str | None
    options: Mapping[str, Any] | None
    pipeline_version: str | None
    queue: str
    priority: int
    state: JobState
    stage: str | None
    progress: float
    code: str | None
    message: str | None
    attempts: int
    cancel_requested_at: float | None
    expires_at: float | None
    purged_at: float | None
    created_at: float
    updated_at: float
    study_uid: str | None = None
    send_to: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A job as a workflow manager knows it; `attributes` are its words, by keyword of DICOM."""

    uid: str
    attributes: Mapping[str, Any]
    job: Job


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of an upload; not new where the same was asked before."""

    job: Job
    is_new: bool


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a tenant a list shows; None and empty leave nothing out."""

    states: frozenset[JobState] = frozenset()
    code: str | None = None
    since: float | None = None  # created at or after
    until: float | None = None  # created before


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and the cursor of the next page; None on the last."""

    jobs: tuple[Job, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A change of a job. Ids ascend in the order in which the changes became visible."""

    id: int
    tenant: str
    job_id: str
    at: float
    state: JobState
    stage: str | None
    progress: float
    attempt: int
    code: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job. `fence` tells it from every earlier and later hold on the same job."""

    job_id: str
    tenant: str
    study_key: str
    series_uid: str | None
    attempt: int
    fence: int
    bundle: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    draft_key: str | None = None  # what the stage before has left
    trace: str | None = None  # the span that submitted the job
    queue: JobQueue = JobQueue.STUDY


@dataclass(frozen=True, slots=True)
class Letter:
    """Something to be told outside: a hint to the workers, a webhook's call, a result's DICOM objects."""

    id: int
    topic: str
    tenant: str
    job_id: str
    target: str | None
    payload: Mapping[str, Any] | None
    attempts: int  # this one included


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the objects of a result are on their way to one system."""

    id: int
    tenant: str
    job_id: str
    target: str
    attempts: int
    not_before: float
    done_at: float | None
    fault: str | None
    created_at: float


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
class Embedding:
    """The mean embedding of a region: float32 of unit length, in this machine's byte order."""

    region: str
    n_patches: int
    vector: bytes


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Those of one result; only those of one `space`, a bundle's SHA-256, are comparable."""

    space: str
    regions: tuple[Embedding, ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A region of another study, and the cosine of its embedding and the one that was asked for."""

    job_id: str
    region: str
    similarity: float
    n_patches: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """The neighbours of an embedding of `space`, the nearest first, and whether all were compared."""

    space: str
    n_patches: int
    n_compared: int
    is_complete: bool
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: ids given back to the queue, set aside for good, and ended because nobody wants them."""

    requeued: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose studies and jobs; a quota of None is no limit."""

    name: str
    max_stored_bytes: int | None
    max_queued_jobs: int | None
    uploads_per_minute: int | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant takes up."""

    stored_bytes: int
    queued_jobs: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: the secret itself is nowhere."""

    id: str
    tenant: str
    secret_sha256: str
    label: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a tenant wants to be told how jobs end."""

    id: str
    tenant: str
    url: str
    secret: str
    states: frozenset[JobState]  # empty: every terminal one
    created_at: float
    disabled_at: float | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action, chained to the one before it."""

    seq: int
    at: float
    tenant: str
    actor: str
    action: str
    object: str
    outcome: str
    detail: str
    previous_hash: str
    hash: str
