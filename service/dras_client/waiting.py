"""The wire that waits: for asyncio and trio, with files and computing in threads so that the loop has its turn."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx2

from dras_client.errors import translated
from dras_client.wire import Arriving, Ask, http_options

_Found = TypeVar("_Found")


class WaitingWire:
    """A wire that gives way to other tasks. `transport` replaces the network."""

    def __init__(
        self, url: str, *, timeout_s: float, key: str | None, transport: httpx2.AsyncBaseTransport | None
    ) -> None:
        self.url = url.rstrip("/")
        self.http = httpx2.AsyncClient(
            **http_options(self.url, timeout_s=timeout_s, key=key), transport=transport
        )

    async def send(self, ask: Ask) -> httpx2.Response:
        """Send a request and read the answer whole."""
        with translated(self.url):
            return await self.http.send(self._request(ask))

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Arriving]:
        """Send a request and read the answer as it comes."""
        with translated(self.url):
            response = await self.http.send(self._request(ask), stream=True)
        try:
            if not response.is_success:
                with translated(self.url):
                    await response.aread()
            yield _Arriving(response, self.url)
        finally:
            await response.aclose()

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        import anyio  # noqa: PLC0415 - a program that blocks need not load it

        await anyio.sleep(seconds)

    async def work(self, task: Callable[[], _Found]) -> _Found:
        """Call it in a thread."""
        from anyio import to_thread  # noqa: PLC0415 - as above

        return await to_thread.run_sync(task)

    async def close(self) -> None:
        """Close all connections."""
        await self.http.aclose()

    def _request(self, ask: Ask) -> httpx2.Request:
        content = None if ask.body is None else self._told(ask.body(), ask.sent)
        return self.http.build_request(
            ask.method, ask.path, params=ask.params, headers=ask.headers, content=content
        )

    async def _told(self, blocks: Iterator[bytes], sent: Callable[[int], None]) -> AsyncIterator[bytes]:
        while (block := await self.work(lambda: next(blocks, None))) is not None:
            yield block
            sent(len(block))


@dataclass(frozen=True, slots=True)
class _Arriving:
    head: httpx2.Response
    url: str

    async def blocks(self, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the body. Raises DrasClientError."""
        with translated(self.url):
            async for block in self.head.aiter_bytes(size):
                yield block
