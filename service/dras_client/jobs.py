"""A job on a service: where it is, and what came of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dras_client.arrays import Features
from dras_client.blocking import iterate, run
from dras_client.calls import Calls, Watch
from dras_client.events import JobEvent
from dras_client.seen import SeenJob
from dras_client.tables import PATCHES, REGIONS
from dras_model.results.study import Region, StudyResult
from dras_service.api.jobs import ArtifactView, JobView
from dras_service.api.similarity import SimilarList

if TYPE_CHECKING:
    from pandas import DataFrame


class Job(SeenJob):
    """A job as it was last seen. Any method that asks the service raises DrasClientError.

    What asks for a result raises ResultNotReady, StudyRejected, JobCancelled or JobFailed where there is none.
    """

    def __init__(self, calls: Calls, view: JobView) -> None:
        super().__init__(view)
        self._calls = calls

    def status(self) -> JobView:
        """Ask where the job is."""
        self.view = run(self._calls.job(self.id))
        return self.view

    def cancel(self) -> JobView:
        """Have the job stopped; one that runs may take a moment. One that has ended stays as it is."""
        self.view = run(self._calls.cancel(self.id))
        return self.view

    def remove(self) -> None:
        """Have the job, its result and its files removed. Raises ProblemError JOB_NOT_FINAL before it has ended."""
        run(self._calls.remove(self.id))

    def wait(self, timeout_s: float | None = None, on_progress: Watch | None = None) -> "Job":
        """Wait until the job has ended, well or not; `on_progress` hears each answer.

        Raises WaitTimedOut after `timeout_s`; the job goes on then.
        """
        self.view = run(self._calls.wait(self.id, timeout_s, on_progress))
        return self

    def events(self, *, after: int | None = None) -> Iterator[JobEvent]:
        """Yield what happens to the job until it has ended, from its beginning or from behind the id `after`."""
        return iterate(self._calls.events(self.id, after=after))

    def result(self) -> StudyResult:
        """Return the result: scores, warnings, quality numbers, provenance."""
        return run(self._calls.result(self.id))

    def features(self) -> Features:
        """Return the embeddings of the patches and what belongs to them, as numpy arrays."""
        return run(self._calls.features(self.id))

    def regions(self) -> "DataFrame":
        """Return the scores, one row a region and image. Raises ExtraMissing without pandas."""
        return run(self._calls.table(self.id, REGIONS))

    def patches(self) -> "DataFrame":
        """Return validity and densitometry, one row a patch. Raises ExtraMissing without pandas."""
        return run(self._calls.table(self.id, PATCHES))

    def similar(
        self, *, region: Region | str = Region.WHOLE, any_region: bool = False, limit: int = 10
    ) -> SimilarList:
        """Return the studies of the tenant that are most alike in `region`, or with `any_region` in any of theirs.

        Only results of the same bundle are compared. Raises NoEmbedding.
        """
        return run(self._calls.similar(self.id, region=region, any_region=any_region, limit=limit))

    def artifacts(self) -> tuple[ArtifactView, ...]:
        """List the files of the result."""
        return run(self._calls.artifacts(self.id))

    def read(self, name: str) -> bytes:
        """Return one file of the result in memory. Raises ArtifactNotFound, DownloadCorrupt."""
        return run(self._calls.content(self.id, name))

    def artifact(self, name: str, path: str | Path) -> Path:
        """Save one file of the result at `path`, whole or not at all. Raises ArtifactNotFound, DownloadCorrupt."""
        return run(self._calls.artifact(self.id, name, Path(path)))

    def download(self, folder: str | Path) -> list[Path]:
        """Save all files of the result in `folder`, which is made if it is not there. Raises DownloadCorrupt."""
        return run(self._calls.download(self.id, Path(folder)))
