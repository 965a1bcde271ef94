"""The service as an object: a study in, a job out."""

import json
import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from urllib.parse import quote

import httpx2

from dras_client.connection import Connection
from dras_client.jobs import Job
from dras_client.payload import Progress, Source, open_payload
from dras_service.api.bundles import BundleList, BundleView
from dras_service.api.events import JobEventView
from dras_service.api.health import Health
from dras_service.api.jobs import JobList, JobState, JobView
from dras_service.api.options import JobOptions

_DEFAULTS = JobOptions()
KEY_VARIABLE = "DRAS_API_KEY"


class Client:
    """A service at `url`. Any method raises DrasClientError; see `dras_client.errors` for its kinds.

    `timeout_s` is how long the service may be silent; `retry_for_s` how long a question that can be
    repeated is repeated. `key` is an API key or an access token, the variable DRAS_API_KEY by default; it is
    sent to `url` and nowhere else. `transport` replaces the network, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = 10.0,
        key: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(
            url,
            timeout_s=timeout_s,
            retry_for_s=retry_for_s,
            key=key or os.environ.get(KEY_VARIABLE) or None,
            transport=transport,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def submit(
        self,
        study: Source,
        *,
        series: str | None = None,
        bundle: str | None = None,
        options: JobOptions = _DEFAULTS,
        priority: int = 0,
        repeat: bool = False,
        idempotency_key: str | None = None,
        on_progress: Progress | None = None,
    ) -> Job:
        """Upload a study: a folder, an archive, a file, a list of files, or bytes.

        `series` is the Series Instance UID to use, the service chooses by default; `bundle` names the weights,
        one of `bundles()`; of several jobs that wait the highest `priority` is first. The same study with the
        same wishes again is the job there is, unless `repeat` asks for another; so is one that is sent again
        under the same `idempotency_key`, made up by default. `on_progress` hears bytes sent
        and bytes in all. Names of files are not sent. Raises UnknownBundle before anything is uploaded.
        """
        params = _params(options, series=series, bundle=bundle, priority=priority, repeat=repeat)
        view = self._connection.post(
            "/v1/studies",
            open_payload(study),
            JobView,
            params=params,
            key=idempotency_key,
            on_progress=on_progress,
        )
        return Job(self._connection, view)

    def job(self, job_id: str) -> Job:
        """Return a job that was submitted before. Raises JobNotFound."""
        return Job(self._connection, self._connection.get(f"/v1/jobs/{quote(job_id, safe='')}", JobView))

    def jobs(self, *, states: Sequence[JobState] = ()) -> Iterator[Job]:
        """Yield the jobs, newest first, in these states; all by default. Pages are asked for as they are needed."""
        params: dict[str, str | list[str]] = {"state": [state.value for state in states]}
        while True:
            page = self._connection.get("/v1/jobs", JobList, params=params)
            yield from (Job(self._connection, view) for view in page.jobs)
            if page.cursor is None:
                return
            params["cursor"] = page.cursor

    def events(self, job_id: str | None = None, *, after: int | None = None) -> Iterator[JobEventView]:
        """Yield what happens to a job until it has ended, or to all jobs from now on without an end.

        `after` is the id of an event that was heard. Raises JobNotFound, ServiceUnreachable where the service ends.
        """
        path = "/v1/events" if job_id is None else f"/v1/jobs/{quote(job_id, safe='')}/events"
        return self._connection.events(path, after=after)

    def bundles(self) -> tuple[BundleView, ...]:
        """List the model bundles that a job may choose."""
        return self._connection.get("/v1/bundles", BundleList).bundles

    def health(self) -> Health:
        """Ask whether the service lives."""
        return self._connection.get("/healthz", Health)


def _params(
    options: JobOptions, *, series: str | None, bundle: str | None, priority: int, repeat: bool
) -> dict[str, str]:
    """Return the query of an upload: what differs from the defaults."""
    written = options.written()
    if limits := written.pop("limits", None):
        written["limits"] = json.dumps(limits)
    asked = written | {"series": series, "bundle": bundle, "priority": priority or None}
    params = {name: value for name, value in asked.items() if value is not None}
    params |= {"repeat": True} if repeat else {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
