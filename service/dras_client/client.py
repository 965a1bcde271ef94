"""The service as an object: a study in, a job out."""

from types import TracebackType
from urllib.parse import quote

import httpx2

from dras_client.connection import Connection
from dras_client.jobs import Job
from dras_client.payload import Progress, Source, open_payload
from dras_service.api.bundles import BundleList, BundleView
from dras_service.api.health import Health
from dras_service.api.jobs import JobView


class Client:
    """A service at `url`. Any method raises DrasClientError; see `dras_client.errors` for its kinds.

    `timeout_s` is how long the service may be silent; `retry_for_s` how long a question that can be
    repeated is repeated. `transport` replaces the network, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = 10.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, timeout_s=timeout_s, retry_for_s=retry_for_s, transport=transport)

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
        on_progress: Progress | None = None,
    ) -> Job:
        """Upload a study: a folder, an archive, a file, a list of files, or bytes.

        `series` is the Series Instance UID to use, the service chooses by default; `bundle` names the weights,
        one of `bundles()`; `on_progress` hears bytes sent and bytes in all. Names of files are not sent. Raises
        UnknownBundle before anything is uploaded.
        """
        chosen = {"series": series, "bundle": bundle}
        params = {name: value for name, value in chosen.items() if value is not None}
        view = self._connection.post(
            "/v1/studies", open_payload(study), JobView, params=params, on_progress=on_progress
        )
        return Job(self._connection, view)

    def job(self, job_id: str) -> Job:
        """Return a job that was submitted before. Raises JobNotFound."""
        return Job(self._connection, self._connection.get(f"/v1/jobs/{quote(job_id, safe='')}", JobView))

    def bundles(self) -> tuple[BundleView, ...]:
        """List the model bundles that a job may choose."""
        return self._connection.get("/v1/bundles", BundleList).bundles

    def health(self) -> Health:
        """Ask whether the service lives."""
        return self._connection.get("/healthz", Health)
