"""The service as an object, for programs that await: asyncio or trio. The methods are those of `Client`."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx2

from dras_client.async_jobs import AsyncJob
from dras_client.calls import DEFAULTS, Calls, wishes_of
from dras_client.client import KEY_VARIABLE
from dras_client.events import JobEvent
from dras_client.payload import Progress, Source
from dras_client.waiting import WaitingWire
from dras_service.api.bundles import BundleView
from dras_service.api.health import Health
from dras_service.api.jobs import JobState
from dras_service.api.options import JobOptions
from dras_service.api.validation import Validation


class AsyncClient:
    """A service at `url`; the parameters are those of `Client`. Files are read and written in threads."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = 90.0,
        key: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        key = key or os.environ.get(KEY_VARIABLE) or None
        wire = WaitingWire(url, timeout_s=timeout_s, key=key, transport=transport)
        self._calls = Calls(wire, retry_for_s=retry_for_s)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """See `Client.close`."""
        await self._calls.wire.close()

    async def submit(
        self,
        study: Source,
        *,
        series: str | None = None,
        bundle: str | None = None,
        options: JobOptions | Mapping[str, Any] = DEFAULTS,
        priority: int = 0,
        repeat: bool = False,
        idempotency_key: str | None = None,
        on_progress: Progress | None = None,
    ) -> AsyncJob:
        """See `Client.submit`; `on_progress` is called in the event loop's own thread."""
        wishes = wishes_of(options, series=series, bundle=bundle, priority=priority, repeat=repeat)
        view = await self._calls.submit(
            study, wishes=wishes, idempotency_key=idempotency_key, on_progress=on_progress
        )
        return AsyncJob(self._calls, view)

    async def validate(
        self, study: Source, *, series: str | None = None, on_progress: Progress | None = None
    ) -> Validation:
        """See `Client.validate`."""
        wishes = wishes_of(DEFAULTS, series=series)
        return await self._calls.validate(study, wishes=wishes, on_progress=on_progress)

    async def job(self, job_id: str) -> AsyncJob:
        """See `Client.job`."""
        return AsyncJob(self._calls, await self._calls.job(job_id))

    async def jobs(self, *, states: Sequence[JobState | str] = ()) -> AsyncIterator[AsyncJob]:
        """See `Client.jobs`."""
        async for view in self._calls.jobs(states):
            yield AsyncJob(self._calls, view)

    def events(self, job_id: str | None = None, *, after: int | None = None) -> AsyncIterator[JobEvent]:
        """See `Client.events`."""
        return self._calls.events(job_id, after=after)

    async def bundles(self) -> tuple[BundleView, ...]:
        """See `Client.bundles`."""
        return await self._calls.bundles()

    async def health(self) -> Health:
        """See `Client.health`."""
        return await self._calls.health()
