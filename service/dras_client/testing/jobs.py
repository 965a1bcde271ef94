"""A job of the fake service: it goes a step further each time somebody asks for it, and never otherwise."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dras_model.results.study import Stage, StudyResult
from dras_service.api.events import JobEventView
from dras_service.api.jobs import ArtifactView, JobLinks, JobState, JobView

_STEPS = (
    (JobState.PREPARING, Stage.REGISTRATION, 0.5),
    (JobState.ENCODING, Stage.ENCODE, 0.8),
    (JobState.FINISHING, Stage.OUTPUTS, 0.9),
)
_MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "npz": "application/x-npz"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ends; in `queued` it never does."""

    state: JobState
    code: str | None = None
    message: str | None = None
    result: StudyResult | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


class FakeJob:
    """One job; `view` is what the service says of it."""

    def __init__(self, outcome: Outcome, *, asked: Mapping[str, str]) -> None:
        self.outcome = outcome
        self.events: list[JobEventView] = []
        number, now = str(uuid.uuid4()), datetime.now(UTC)
        path = f"/v1/jobs/{number}"
        self.view = JobView(
            id=number,
            state=JobState.QUEUED,
            bundle=asked.get("bundle"),
            series=asked.get("series"),
            priority=int(asked.get("priority", "0")),
            created_at=now,
            updated_at=now,
            links=JobLinks(
                job=path, result=f"{path}/result", artifacts=f"{path}/artifacts", events=f"{path}/events"
            ),
        )
        self._tell()

    def step(self) -> None:
        """Go a step further, unless the job has ended or is never to."""
        n_steps = len(self.events) - 1
        if self.view.state.is_terminal or self.outcome.state is JobState.QUEUED:
            return
        if n_steps < len(_STEPS):
            state, stage, progress = _STEPS[n_steps]
            self._change(state=state, stage=stage, progress=progress, attempts=1)
        else:
            ended: dict[str, Any] = {"code": self.outcome.code, "message": self.outcome.message}
            if self.outcome.result is not None:
                ended |= {"progress": 1.0, "stage": None}
            self._change(state=self.outcome.state, **ended)

    def cancel(self) -> None:
        """End the job, unless it has ended."""
        if not self.view.state.is_terminal:
            self._change(state=JobState.CANCELLED, stage=None, cancel_requested=True)

    def artifacts(self) -> tuple[ArtifactView, ...]:
        """List the files."""
        return tuple(
            ArtifactView(
                name=name,
                media_type=media_type_of(name),
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                link=f"{self.view.links.artifacts}/{name}",
            )
            for name, content in sorted(self.outcome.files.items())
        )

    def _change(self, **values: Any) -> None:
        self.view = self.view.model_copy(update=values | {"updated_at": datetime.now(UTC)})
        self._tell()

    def _tell(self) -> None:
        view = self.view
        self.events.append(
            JobEventView(
                job_id=view.id,
                at=view.updated_at,
                state=view.state,
                stage=view.stage,
                progress=view.progress,
                attempt=view.attempts,
                code=view.code,
            )
        )


def media_type_of(name: str) -> str:
    """Return what the service says of a file."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
