"""Speaking HTTP: retries where repeating does no harm, problems as exceptions, paths under one address.

What can be repeated without a second effect is: any GET, and an upload whose connection was refused.
"""

import ipaddress
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from dras_client.errors import ServiceUnreachable, UnexpectedAnswer, raise_for_problem, translated
from dras_client.payload import Payload, Progress, counted
from dras_service.api.events import JobEventView

_Model = TypeVar("_Model", bound=BaseModel)
_Answer = TypeVar("_Answer")

_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.2, 5.0
_DATA = "data: "
_BUSY = frozenset({502, 503, 504})


class Connection:
    """All that is said to one service."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        retry_for_s: float,
        key: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._retry_for_s = retry_for_s
        with translated(self.url):
            base = httpx2.URL(self.url)
            if base.scheme not in ("http", "https") or not base.host:
                raise httpx2.UnsupportedProtocol("no http or https address")
            self._http = httpx2.Client(
                base_url=base,
                headers={} if key is None else {"Authorization": f"Bearer {key}"},
                timeout=timeout_s,
                transport=transport,
                verify=base.scheme
                == "https",  # reading the certificates takes 25 ms that http need not wait for
                trust_env=not _is_loopback(base.host),  # a proxy of the site cannot reach this machine
            )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(
        self, path: str, model: type[_Model], *, params: Mapping[str, str | list[str]] | None = None
    ) -> _Model:
        """Return what is at `path`. Raises DrasClientError."""
        request = self._http.build_request("GET", path, params=params)
        return self._parse(self._repeat(lambda: self._send(request)), model)

    def ask(self, path: str, model: type[_Model]) -> _Model:
        """POST without a body, where asking again does no harm. Raises DrasClientError."""
        return self._parse(self._repeat(lambda: self._send(self._http.build_request("POST", path))), model)

    def delete(self, path: str) -> None:
        """Remove what is at `path`. Raises DrasClientError."""
        self._repeat(lambda: self._send(self._http.build_request("DELETE", path)), only_refused=True)

    def events(self, path: str, *, after: int | None) -> Iterator[JobEventView]:
        """Yield the events at `path` until the stream ends. Raises DrasClientError."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        request = self._http.build_request("GET", path, headers=headers)
        response = self._repeat(lambda: self._send(request, stream=True))
        try:
            with translated(self.url):
                # Of the format's fields (HTML, 9.2.6) the service writes data on one line.
                for line in response.iter_lines():
                    if line.startswith(_DATA):
                        yield JobEventView.model_validate_json(line.removeprefix(_DATA))
        except ValidationError as error:
            raise _unexpected(self.url) from error
        finally:
            response.close()

    def get_with_pause(self, path: str, model: type[_Model]) -> tuple[_Model, float | None]:
        """Return what is at `path`, and after how many seconds to ask again. Raises DrasClientError."""
        response = self._repeat(lambda: self._send(self._http.build_request("GET", path)))
        return self._parse(response, model), _retry_after_s(response)

    def post(
        self,
        path: str,
        payload: Payload,
        model: type[_Model],
        *,
        params: dict[str, str],
        key: str | None,
        on_progress: Progress | None,
    ) -> _Model:
        """Send a body once it is known that somebody listens. Raises DrasClientError."""
        quoted = f'"{key or uuid.uuid4()}"'  # a proxy that sends the request again makes no second job

        def send() -> httpx2.Response:
            headers = {
                "Content-Type": payload.content_type,
                "Content-Length": str(payload.size_bytes),
                "Idempotency-Key": quoted,
            }
            blocks = counted(payload, on_progress)
            return self._send(
                self._http.build_request("POST", path, params=params, content=blocks, headers=headers)
            )

        return self._parse(self._repeat(send, only_refused=True), model)

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx2.Response]:
        """Open what is at `path`, to be read in pieces. Raises DrasClientError."""
        request = self._http.build_request("GET", path)
        response = self._repeat(lambda: self._send(request, stream=True))
        try:
            with translated(self.url):
                yield response
        finally:
            response.close()

    def _send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        response = self._http.send(request, stream=stream)
        if not response.is_success:
            response.read()
        return response

    def _repeat(self, send: Callable[[], httpx2.Response], *, only_refused: bool = False) -> httpx2.Response:
        """Send until somebody answers, or until `retry_for_s` have passed."""
        give_up_at = time.monotonic() + self._retry_for_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                with translated(self.url):
                    response = send()
                if only_refused or response.status_code not in _BUSY or time.monotonic() > give_up_at:
                    raise_for_problem(response, self.url)
                    return response
                pause_s = max(pause_s, _retry_after_s(response) or 0.0)
            except ServiceUnreachable as error:
                refused = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
                if (only_refused and not refused) or time.monotonic() + pause_s > give_up_at:
                    raise
            time.sleep(min(pause_s, max(0.0, give_up_at - time.monotonic())))
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    def _parse(self, response: httpx2.Response, model: type[_Model]) -> _Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise _unexpected(self.url) from error


def _unexpected(url: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"What answers at {url} is no dras service of this version.")


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Return Retry-After in seconds (RFC 9110, 10.2.3); its form as a date is not used by this service."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
