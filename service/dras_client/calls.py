"""Everything that can be asked of a service, written once: both clients are a face of this."""

import json
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from dras_client import downloads, tables
from dras_client.arrays import NAME, Features, read_features
from dras_client.errors import JobNotFound, WaitTimedOut
from dras_client.events import JobEvent, follow
from dras_client.exchange import Exchange
from dras_client.payload import Payload, Progress, Source, open_payload
from dras_client.retry_after import retry_after_s
from dras_client.wire import Ask, Params, Wire
from dras_model.results.study import Region, StudyResult
from dras_service.api.bundles import BundleList, BundleView
from dras_service.api.health import Health
from dras_service.api.jobs import ArtifactView, JobList, JobState, JobView
from dras_service.api.options import JobOptions
from dras_service.api.similarity import SimilarList
from dras_service.api.validation import Validation

if TYPE_CHECKING:
    from pandas import DataFrame

Watch: TypeAlias = Callable[[JobView], None]

DEFAULTS = JobOptions()
_PAUSE_S = 1.0  # where the service does not say when to ask again


class Calls:
    """The calls, each a coroutine over a wire. Any raises DrasClientError."""

    def __init__(self, wire: Wire, *, retry_for_s: float) -> None:
        self.wire = wire
        self._exchange = Exchange(wire, retry_for_s=retry_for_s)

    async def submit(
        self,
        study: Source,
        *,
        wishes: Params,
        idempotency_key: str | None,
        on_progress: Progress | None,
    ) -> JobView:
        """Upload a study for as long as it takes; all attempts are one request."""
        key = idempotency_key or str(uuid.uuid4())
        answer = await self._upload(
            "/v1/studies", study, wishes, on_progress, {"Idempotency-Key": f'"{key}"'}
        )
        return self._exchange.parse(answer, JobView)

    async def validate(self, study: Source, *, wishes: Params, on_progress: Progress | None) -> Validation:
        """Upload a study only to hear what would come of it."""
        answer = await self._upload("/v1/validate", study, wishes, on_progress, {})
        return self._exchange.parse(answer, Validation)

    async def job(self, job_id: str) -> JobView:
        """Return a job."""
        return await self._exchange.get(job_path(job_id), JobView)

    async def jobs(self, states: Sequence[JobState | str]) -> AsyncGenerator[JobView, None]:
        """Yield jobs, newest first, page by page as they are needed."""
        params: dict[str, str | list[str]] = {"state": [JobState(state).value for state in states]}
        while True:
            page = self._exchange.read(
                await self._exchange.answer(Ask("GET", "/v1/jobs", params=params)), JobList
            )
            for view in page.jobs:
                yield view
            if page.cursor is None:
                return
            params["cursor"] = page.cursor

    def events(self, job_id: str | None, *, after: int | None) -> AsyncGenerator[JobEvent, None]:
        """Yield the events of a job to its end, or of all jobs without an end."""
        path = "/v1/events" if job_id is None else f"{job_path(job_id)}/events"
        return follow(self._exchange, path, after=after, ends=job_id is not None)

    async def bundles(self) -> tuple[BundleView, ...]:
        """List the model bundles."""
        return (await self._exchange.get("/v1/bundles", BundleList)).bundles

    async def health(self) -> Health:
        """Ask whether the service lives."""
        return await self._exchange.get("/healthz", Health)

    async def cancel(self, job_id: str) -> JobView:
        """Have a job stopped."""
        answer = await self._exchange.answer(Ask("POST", f"{job_path(job_id)}/cancel"))
        return self._exchange.read(answer, JobView)

    async def remove(self, job_id: str) -> None:
        """Have a job removed; one that an attempt before has removed is."""
        patience = self._exchange.patience()
        try:
            await self._exchange.answer(Ask("DELETE", job_path(job_id)), patience)
        except JobNotFound:
            if patience.n_failures == 0:
                raise

    async def wait(self, job_id: str, timeout_s: float | None, watch: Watch | None) -> JobView:
        """Ask for a job until it has ended."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            answer = await self._exchange.answer(Ask("GET", job_path(job_id)))
            view = self._exchange.read(answer, JobView)
            if watch is not None:
                watch(view)
            if view.state.is_terminal:
                return view
            pause_s = retry_after_s(answer.headers)
            pause_s = _PAUSE_S if pause_s is None else pause_s
            if give_up_at is not None and time.monotonic() + pause_s > give_up_at:
                raise WaitTimedOut(f"The job is {view.state} after {timeout_s:.0f} seconds.")
            await self.wire.pause(pause_s)

    async def result(self, job_id: str) -> StudyResult:
        """Return a job's result."""
        return await self._exchange.get(f"{job_path(job_id)}/result", StudyResult)

    async def features(self, job_id: str) -> Features:
        """Return a result's arrays."""
        content = await downloads.fetched(self._exchange, job_path(job_id), NAME)
        return await self.wire.work(lambda: read_features(content))

    async def table(self, job_id: str, name: str) -> "DataFrame":
        """Return a table of a result."""
        tables.check_pandas()
        content = await downloads.fetched(self._exchange, job_path(job_id), name)
        return await self.wire.work(lambda: tables.read_table(content))

    async def similar(
        self, job_id: str, *, region: Region | str, any_region: bool, limit: int
    ) -> SimilarList:
        """Return what is most alike."""
        params = {"region": Region(region).value, "any_region": json.dumps(any_region), "limit": str(limit)}
        answer = await self._exchange.answer(Ask("GET", f"{job_path(job_id)}/similar", params=params))
        return self._exchange.read(answer, SimilarList)

    async def artifacts(self, job_id: str) -> tuple[ArtifactView, ...]:
        """List a result's files."""
        return await downloads.artifacts(self._exchange, job_path(job_id))

    async def content(self, job_id: str, name: str) -> bytes:
        """Return one file of a result."""
        return (await downloads.fetched(self._exchange, job_path(job_id), name)).getvalue()

    async def artifact(self, job_id: str, name: str, path: Path) -> Path:
        """Save one file of a result."""
        file = await downloads.artifact(self._exchange, job_path(job_id), name)
        return await downloads.saved(self._exchange, job_path(job_id), file, path)

    async def download(self, job_id: str, folder: Path) -> list[Path]:
        """Save all files of a result."""
        await self.wire.work(lambda: folder.mkdir(parents=True, exist_ok=True))
        job = job_path(job_id)
        return [
            await downloads.saved(self._exchange, job, file, folder / Path(file.name).name)
            for file in await self.artifacts(job_id)
        ]

    async def _upload(
        self,
        path: str,
        study: Source,
        wishes: Params,
        on_progress: Progress | None,
        headers: dict[str, str],
    ) -> bytes:
        payload = await self.wire.work(lambda: open_payload(study))
        patience = self._exchange.patience()
        counter = _Counter(payload, patience.moved, on_progress)
        described = {"Content-Type": payload.content_type, "Content-Length": str(payload.size_bytes)}
        ask = Ask(
            "POST", path, params=wishes, headers=described | headers, body=counter.blocks, sent=counter.sent
        )
        return (await self._exchange.answer(ask, patience)).content


class _Counter:
    """A body that is told of as it goes out; each attempt counts from nothing."""

    def __init__(self, payload: Payload, moved: Callable[[], None], on_progress: Progress | None) -> None:
        self._payload = payload
        self._moved = moved
        self._on_progress = on_progress
        self._n_bytes = 0

    def blocks(self) -> Iterator[bytes]:
        self._n_bytes = 0
        return self._payload.blocks()

    def sent(self, n_bytes: int) -> None:
        self._moved()
        self._n_bytes += n_bytes
        if self._on_progress is not None:
            self._on_progress(self._n_bytes, self._payload.size_bytes)


def job_path(job_id: str) -> str:
    """Return the address of a job."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def wishes_of(
    options: JobOptions | Mapping[str, Any],
    *,
    series: str | None = None,
    bundle: str | None = None,
    priority: int = 0,
    repeat: bool = False,
) -> Params:
    """Return the query of an upload: what differs from the defaults. Raises ValueError for an unknown wish."""
    written: dict[str, Any] = JobOptions.model_validate(options).written()
    if limits := written.pop("limits", None):
        written["limits"] = json.dumps(limits)
    asked = written | {
        "series": series,
        "bundle": bundle,
        "priority": priority or None,
        "repeat": repeat or None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
