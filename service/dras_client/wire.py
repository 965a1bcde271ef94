"""What both clients need of a network, and nothing else: the interface behind which one blocks and one waits.

Everything that is decided (what is asked, what an answer means, when it is asked again) is written once, as
coroutines over a `Wire`. Over the blocking one they never suspend, and are ordinary functions (`blocking`).
"""

import ipaddress
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import httpx2

from dras_client.errors import translated

_Found = TypeVar("_Found")
Params: TypeAlias = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that can be sent again: `body` begins anew each time, `sent` hears how many bytes a block had."""

    method: str
    path: str
    params: Params = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    sent: Callable[[int], None] = lambda _n_bytes: None


class Arriving(Protocol):
    """An answer whose head is there. Where it is no success, its body was read."""

    @property
    def head(self) -> httpx2.Response:
        """Status and headers."""

    def blocks(self, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the body, in blocks of `size` bytes or as they come. Raises DrasClientError."""


class Wire(Protocol):
    """A connection to one service. Whatever sends raises DrasClientError, never the HTTP library's errors."""

    url: str

    async def send(self, ask: Ask) -> httpx2.Response:
        """Send a request and read the answer whole."""

    def open(self, ask: Ask) -> AbstractAsyncContextManager[Arriving]:
        """Send a request and read the answer as it comes."""

    async def pause(self, seconds: float) -> None:
        """Let time pass."""

    async def work(self, task: Callable[[], _Found]) -> _Found:
        """Do what reads or writes files, or computes."""

    async def close(self) -> None:
        """Close all connections."""


def http_options(url: str, *, timeout_s: float, key: str | None) -> dict[str, Any]:
    """Return what both kinds of the HTTP library's client are made with. Raises InvalidAddress."""
    with translated(url):
        base = httpx2.URL(url)
        if base.scheme not in ("http", "https") or not base.host:
            raise httpx2.UnsupportedProtocol("no http or https address")
    return {
        "base_url": base,
        "headers": {} if key is None else {"Authorization": f"Bearer {key}"},
        "timeout": timeout_s,
        "verify": base.scheme == "https",  # reading the certificates takes 25 ms that http need not wait for
        "trust_env": not _is_loopback(base.host),  # a proxy of the site cannot reach this machine
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
