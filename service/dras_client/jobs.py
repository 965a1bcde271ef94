"""A job on a service: where it is, and what came of it."""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dras_client.connection import Connection
from dras_client.errors import ArtifactNotFound, DownloadCorrupt, WaitTimedOut
from dras_model.results.study import StudyResult
from dras_service.api.jobs import ArtifactList, ArtifactView, JobState, JobView
from dras_service.api.problems import Problem, ProblemCode

_PAUSE_S = 1.0  # where the service does not say when to ask again


class Job:
    """A job as it was last seen. Any method that asks the service raises DrasClientError."""

    def __init__(self, connection: Connection, view: JobView) -> None:
        self._connection = connection
        self._path = f"/v1/jobs/{view.id}"
        self.view = view

    def __repr__(self) -> str:
        return f"<Job {self.id}: {self.state}>"

    @property
    def id(self) -> str:
        """The id under which the service knows the job."""
        return self.view.id

    @property
    def state(self) -> JobState:
        """The state as it was last seen."""
        return self.view.state

    def status(self) -> JobView:
        """Ask where the job is."""
        self.view = self._connection.get(self._path, JobView)
        return self.view

    def cancel(self) -> JobView:
        """Have the job stopped; one that runs may take a moment. One that has ended stays as it is."""
        self.view = self._connection.ask(f"{self._path}/cancel", JobView)
        return self.view

    def remove(self) -> None:
        """Have the job, its result and its files removed. Raises ProblemError JOB_NOT_FINAL before it has ended."""
        self._connection.delete(self._path)

    def wait(
        self,
        timeout_s: float | None = None,
        on_progress: Callable[[JobView], None] | None = None,
    ) -> "Job":
        """Wait until the job has ended, well or not; `on_progress` hears each answer.

        Raises WaitTimedOut after `timeout_s`; the job goes on then.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self.view, pause_s = self._connection.get_with_pause(self._path, JobView)
            if on_progress is not None:
                on_progress(self.view)
            if self.state.is_terminal:
                return self
            pause_s = _PAUSE_S if pause_s is None else pause_s
            if give_up_at is not None and time.monotonic() + pause_s > give_up_at:
                raise WaitTimedOut(f"The job is {self.state} after {timeout_s:.0f} seconds.")
            time.sleep(pause_s)

    def result(self) -> StudyResult:
        """Return the result. Raises ResultNotReady, StudyRejected, JobFailed."""
        return self._connection.get(f"{self._path}/result", StudyResult)

    def artifacts(self) -> tuple[ArtifactView, ...]:
        """List the files of the result. Raises ResultNotReady, StudyRejected, JobFailed."""
        return self._connection.get(f"{self._path}/artifacts", ArtifactList).artifacts

    def artifact(self, name: str, path: str | Path) -> Path:
        """Save one file of the result at `path`, complete or not at all. Raises ArtifactNotFound."""
        for file in self.artifacts():
            if file.name == name:
                return self._save(file, Path(path))
        raise ArtifactNotFound(Problem.of(ProblemCode.ARTIFACT_NOT_FOUND).model_dump())

    def download(self, folder: str | Path) -> list[Path]:
        """Save all files of the result in `folder`, which is made if it is not there."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        return [self._save(file, target / Path(file.name).name) for file in self.artifacts()]

    def _save(self, file: ArtifactView, path: Path) -> Path:
        digest = hashlib.sha256()
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".dras-") as room:
            arriving = Path(room) / "file"
            link = f"{self._path}/artifacts/{file.name}"
            with self._connection.stream(link) as response, arriving.open("wb") as target:
                for block in response.iter_bytes():
                    digest.update(block)
                    target.write(block)
            if digest.hexdigest() != file.sha256:
                raise DownloadCorrupt(f"{file.name} arrived with another hash than was announced.")
            arriving.replace(path)
        return path
