"""A wire between browser and service that can be cut and mended, and that can be made slow."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Self

_BLOCK = 1 << 16


class Relay:
    """Listens on a port of its own and passes bytes on to `target`, a port of loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = True
        self._pause_s = 0.0
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(self._listen)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_fault: object) -> None:
        self._call(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End all connections and let no new one through."""
        self._open = False
        self._call(self._drop)

    def mend(self) -> None:
        """Let connections through again."""
        self._open = True

    def slow_down(self, pause_s: float) -> None:
        """Wait as long after each 64 kB that the browser sends."""
        self._pause_s = pause_s

    def _call(self, work: Callable[[], Awaitable[object]]) -> object:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(30)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        await self._drop()

    async def _drop(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._under_way.add(task)
        ends = [writer]
        try:
            if self._open:
                back, forth = await asyncio.open_connection("127.0.0.1", self._target)
                ends.append(forth)
                await asyncio.gather(
                    self._pass(reader, forth, slow=True), self._pass(back, writer, slow=False)
                )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.close()
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await end.wait_closed()
            self._under_way.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
            if slow and self._pause_s:
                await asyncio.sleep(self._pause_s)
        with contextlib.suppress(OSError):
            writer.write_eof()
