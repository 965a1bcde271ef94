"""A job as a client sees it: its state, where it is, and where its result lies.

States run one way, `queued → preparing → encoding → finishing → a terminal state`; a lost worker takes a job
back to `queued`, and where stages have queues of their own it waits in each. A terminal state is final.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dras_model.results.study import Stage


class JobState(StrEnum):
    """Where a job is, or how it ended."""

    QUEUED = "queued"
    PREPARING = "preparing"
    ENCODING = "encoding"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_WARNINGS = "succeeded_with_warnings"
    PARTIAL = "partial"
    REJECTED = "rejected"  # the study was refused, `code` is one of dras_model.results.codes
    FAILED = "failed"  # the set-up or the service is at fault, `code` says which
    QUARANTINED = "quarantined"  # every attempt lost its worker
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_running(self) -> bool:
        """Whether a worker holds the job."""
        return self in RUNNING

    @property
    def is_terminal(self) -> bool:
        """Whether the state is final."""
        return self is not JobState.QUEUED and self not in RUNNING

    @property
    def has_result(self) -> bool:
        """Whether there is a result to fetch."""
        return self in WITH_RESULT


RUNNING = frozenset({JobState.PREPARING, JobState.ENCODING, JobState.FINISHING})
WITH_RESULT = frozenset({JobState.SUCCEEDED, JobState.SUCCEEDED_WITH_WARNINGS, JobState.PARTIAL})
TERMINAL = frozenset(state for state in JobState if state.is_terminal)

STATE_OF_STAGE: Mapping[Stage, JobState] = MappingProxyType(
    {
        Stage.READ: JobState.PREPARING,
        Stage.LUNGS: JobState.PREPARING,
        Stage.REGISTRATION: JobState.PREPARING,
        Stage.PATCHES: JobState.PREPARING,
        Stage.SCORES: JobState.PREPARING,
        Stage.ENCODE: JobState.ENCODING,
        Stage.OUTPUTS: JobState.FINISHING,
    }
)


class Fault(StrEnum):
    """Why a job ended without the study being at fault; add-only, like the study's codes."""

    INTERNAL = "INTERNAL"
    WORKER_LOST = "WORKER_LOST"


FAULT_SENTENCES: Mapping[Fault, str] = MappingProxyType(
    {
        Fault.INTERNAL: "The service failed on this study; the operator's log tells why.",
        Fault.WORKER_LOST: "Every attempt at this study lost its worker; it is kept aside for the operator.",
    }
)


class JobLinks(BaseModel):
    """Paths of a job, relative to the service's address."""

    model_config = ConfigDict(frozen=True)

    job: str
    result: str
    artifacts: str
    events: str


class JobView(BaseModel):
    """What is known of a job right now. A reader ignores keys it does not know: more may come."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11",
                    "state": "preparing",
                    "bundle": "drasclr",
                    "series": None,
                    "options": {"phase": "inspiration"},
                    "priority": 0,
                    "cancel_requested": False,
                    "stage": "registration",
                    "progress": 0.52,
                    "attempts": 1,
                    "created_at": "2026-01-31T12:00:00Z",
                    "updated_at": "2026-01-31T12:00:04Z",
                    "expires_at": None,
                    "code": None,
                    "message": None,
                    "links": {
                        "job": "/v1/jobs/5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11",
                        "result": "/v1/jobs/5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11/result",
                        "artifacts": "/v1/jobs/5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11/artifacts",
                        "events": "/v1/jobs/5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11/events",
                    },
                }
            ]
        },
    )

    id: str
    state: JobState
    bundle: str | None = Field(None, description="the model bundle that was asked for, null for the default")
    series: str | None = Field(None, description="the series that was asked for, null for the best one")
    options: dict[str, Any] = Field(
        default_factory=dict, description="what was asked of the job where it differs from the defaults"
    )
    priority: int = 0
    cancel_requested: bool = Field(
        False, description="whether the job was cancelled, though it may still run"
    )
    stage: Stage | None = Field(None, description="the stage that runs, null before the first")
    progress: float = Field(0.0, ge=0.0, le=1.0, description="fraction of the whole job")
    attempts: int = Field(0, description="how often a worker has taken the job up")
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = Field(None, description="when the job is removed, null for never")
    code: str | None = Field(None, description="why there is no result: a stable code")
    message: str | None = Field(None, description="the code's sentence; holds no patient data")
    links: JobLinks


class JobList(BaseModel):
    """A page of jobs, newest first."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[JobView, ...]
    cursor: str | None = Field(None, description="`cursor` of the next page, null on the last")


class ArtifactView(BaseModel):
    """One file of a result."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["features.npz"])
    media_type: str
    size_bytes: int
    sha256: str
    link: str


class ArtifactList(BaseModel):
    """All files of a result."""

    model_config = ConfigDict(frozen=True)

    artifacts: tuple[ArtifactView, ...]
