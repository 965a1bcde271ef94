"""The wire that blocks, and how coroutines over it are run: to their end, in one step, without an event loop."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from dras_client.errors import translated
from dras_client.wire import Arriving, Ask, http_options

_Found = TypeVar("_Found")


def run(coroutine: Coroutine[Any, Any, _Found]) -> _Found:
    """Return what a coroutine over a BlockingWire returns, or raise what it raises."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        found: _Found = end.value
        return found
    coroutine.close()
    raise RuntimeError("a blocking wire has suspended")


def iterate(items: AsyncGenerator[_Found, None]) -> Iterator[_Found]:
    """Yield what a generator over a BlockingWire yields; it is closed with this one."""
    try:
        while True:
            try:
                item = run(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(_close(items))


async def _next(items: AsyncGenerator[_Found, None]) -> _Found:
    return await anext(items)


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


class BlockingWire:
    """A wire whose every method returns only when it is done. `transport` replaces the network."""

    def __init__(
        self, url: str, *, timeout_s: float, key: str | None, transport: httpx2.BaseTransport | None
    ) -> None:
        self.url = url.rstrip("/")
        self.http = httpx2.Client(**http_options(self.url, timeout_s=timeout_s, key=key), transport=transport)

    async def send(self, ask: Ask) -> httpx2.Response:
        """Send a request and read the answer whole."""
        with translated(self.url):
            return self.http.send(self._request(ask))

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Arriving]:
        """Send a request and read the answer as it comes."""
        with translated(self.url):
            response = self.http.send(self._request(ask), stream=True)
        try:
            if not response.is_success:
                with translated(self.url):
                    response.read()
            yield _Arriving(response, self.url)
        finally:
            response.close()

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    async def work(self, task: Callable[[], _Found]) -> _Found:
        """Call it."""
        return task()

    async def close(self) -> None:
        """Close all connections."""
        self.http.close()

    def _request(self, ask: Ask) -> httpx2.Request:
        return self.http.build_request(
            ask.method, ask.path, params=ask.params, headers=ask.headers, content=_content(ask)
        )


@dataclass(frozen=True, slots=True)
class _Arriving:
    head: httpx2.Response
    url: str

    async def blocks(self, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the body. Raises DrasClientError."""
        with translated(self.url):
            for block in self.head.iter_bytes(size):
                yield block


def _content(ask: Ask) -> Iterator[bytes] | None:
    return None if ask.body is None else _told(ask.body(), ask.sent)


def _told(blocks: Iterator[bytes], sent: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        yield block
        sent(len(block))
