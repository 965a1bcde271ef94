"""The service as an object: a study in, a job out."""

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx2

from dras_client.blocking import BlockingWire, iterate, run
from dras_client.calls import DEFAULTS, Calls, wishes_of
from dras_client.events import JobEvent
from dras_client.jobs import Job
from dras_client.payload import Progress, Source
from dras_service.api.bundles import BundleView
from dras_service.api.health import Health
from dras_service.api.jobs import JobState
from dras_service.api.options import JobOptions
from dras_service.api.validation import Validation

KEY_VARIABLE = "DRAS_API_KEY"


class Client:
    """A service at `url`. Any method raises DrasClientError; see `dras_client.errors` for its kinds.

    `timeout_s` is how long the service may be silent, `retry_for_s` how much trouble is borne before an error that
    may pass is raised. `key` is an API key or an access token, the variable DRAS_API_KEY by default; it is sent to
    `url` and nowhere else. `transport` replaces the network, for tests (`dras_client.testing`).
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = 90.0,
        key: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        key = key or os.environ.get(KEY_VARIABLE) or None
        wire = BlockingWire(url, timeout_s=timeout_s, key=key, transport=transport)
        self._calls = Calls(wire, retry_for_s=retry_for_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        run(self._calls.wire.close())

    def submit(
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
    ) -> Job:
        """Upload a study: a folder, an archive, a file, a list of files, or bytes.

        `series` is the Series Instance UID to use, the service chooses by default; `bundle` names the weights,
        one of `bundles()`; `options` are wishes of how to measure, by name or as one object; of several jobs that
        wait the highest `priority` is first. The same study with the same wishes again is the job there is, unless
        `repeat` asks for another. An upload that breaks is sent again under the same `idempotency_key`, made up by
        default, and is one job. `on_progress` hears bytes sent and bytes in all, from nothing again with each
        attempt. Names of files are not sent. Raises UnknownBundle, and ValueError for options that there are not,
        before anything is uploaded.
        """
        wishes = wishes_of(options, series=series, bundle=bundle, priority=priority, repeat=repeat)
        submitted = self._calls.submit(
            study, wishes=wishes, idempotency_key=idempotency_key, on_progress=on_progress
        )
        return Job(self._calls, run(submitted))

    def validate(
        self, study: Source, *, series: str | None = None, on_progress: Progress | None = None
    ) -> Validation:
        """Upload a study to hear which series would be used, and what would be warned or refused; none is kept."""
        wishes = wishes_of(DEFAULTS, series=series)
        return run(self._calls.validate(study, wishes=wishes, on_progress=on_progress))

    def job(self, job_id: str) -> Job:
        """Return a job that was submitted before. Raises JobNotFound."""
        return Job(self._calls, run(self._calls.job(job_id)))

    def jobs(self, *, states: Sequence[JobState | str] = ()) -> Iterator[Job]:
        """Yield the jobs, newest first, in these states; all by default. Pages are asked for as they are needed."""
        return (Job(self._calls, view) for view in iterate(self._calls.jobs(states)))

    def events(self, job_id: str | None = None, *, after: int | None = None) -> Iterator[JobEvent]:
        """Yield what happens to a job until it has ended, or to all jobs from now on without an end.

        `after` is the id of an event that was heard. A stream that breaks is gone on with, nothing missed and
        nothing twice. Raises JobNotFound.
        """
        return iterate(self._calls.events(job_id, after=after))

    def bundles(self) -> tuple[BundleView, ...]:
        """List the model bundles that a job may choose."""
        return run(self._calls.bundles())

    def health(self) -> Health:
        """Ask whether the service lives."""
        return run(self._calls.health())
