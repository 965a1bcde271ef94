"""What an event stream tells: each change of a job, in order."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from dras_model.results.study import Stage
from dras_service.api.jobs import JobState


class JobEventView(BaseModel):
    """A job changed. The `id:` line before it is what Last-Event-ID takes."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "job_id": "5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11",
                    "at": "2026-01-31T12:00:04Z",
                    "state": "preparing",
                    "stage": "registration",
                    "progress": 0.52,
                    "attempt": 1,
                    "code": None,
                }
            ]
        },
    )

    job_id: str
    at: datetime
    state: JobState
    stage: Stage | None = None
    progress: float = Field(ge=0.0, le=1.0)
    attempt: int
    code: str | None = Field(None, description="why there is no result: a stable code")
