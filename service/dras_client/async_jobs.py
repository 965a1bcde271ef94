"""A job on a service, for programs that await. The methods are those of `Job`."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from dras_client.arrays import Features
from dras_client.calls import Calls, Watch
from dras_client.events import JobEvent
from dras_client.seen import SeenJob
from dras_client.tables import PATCHES, REGIONS
from dras_model.results.study import Region, StudyResult
from dras_service.api.jobs import ArtifactView, JobView
from dras_service.api.similarity import SimilarList

if TYPE_CHECKING:
    from pandas import DataFrame


class AsyncJob(SeenJob):
    """A job as it was last seen. Any method that asks the service raises DrasClientError."""

    def __init__(self, calls: Calls, view: JobView) -> None:
        super().__init__(view)
        self._calls = calls

    async def status(self) -> JobView:
        """See `Job.status`."""
        self.view = await self._calls.job(self.id)
        return self.view

    async def cancel(self) -> JobView:
        """See `Job.cancel`."""
        self.view = await self._calls.cancel(self.id)
        return self.view

    async def remove(self) -> None:
        """See `Job.remove`."""
        await self._calls.remove(self.id)

    async def wait(self, timeout_s: float | None = None, on_progress: Watch | None = None) -> "AsyncJob":
        """See `Job.wait`; other tasks have their turn meanwhile."""
        self.view = await self._calls.wait(self.id, timeout_s, on_progress)
        return self

    def events(self, *, after: int | None = None) -> AsyncIterator[JobEvent]:
        """See `Job.events`."""
        return self._calls.events(self.id, after=after)

    async def result(self) -> StudyResult:
        """See `Job.result`."""
        return await self._calls.result(self.id)

    async def features(self) -> Features:
        """See `Job.features`."""
        return await self._calls.features(self.id)

    async def regions(self) -> "DataFrame":
        """See `Job.regions`."""
        return await self._calls.table(self.id, REGIONS)

    async def patches(self) -> "DataFrame":
        """See `Job.patches`."""
        return await self._calls.table(self.id, PATCHES)

    async def similar(
        self, *, region: Region | str = Region.WHOLE, any_region: bool = False, limit: int = 10
    ) -> SimilarList:
        """See `Job.similar`."""
        return await self._calls.similar(self.id, region=region, any_region=any_region, limit=limit)

    async def artifacts(self) -> tuple[ArtifactView, ...]:
        """See `Job.artifacts`."""
        return await self._calls.artifacts(self.id)

    async def read(self, name: str) -> bytes:
        """See `Job.read`."""
        return await self._calls.content(self.id, name)

    async def artifact(self, name: str, path: str | Path) -> Path:
        """See `Job.artifact`."""
        return await self._calls.artifact(self.id, name, Path(path))

    async def download(self, folder: str | Path) -> list[Path]:
        """See `Job.download`."""
        return await self._calls.download(self.id, Path(folder))
