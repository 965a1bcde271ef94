"""Lets uploads begin a few at a time, so that a rush of them keeps nobody else from being answered.

The event loop serves all who are ready in turn. A thousand uploads that come at once would all be ready, and who
asks for health would wait for the first step of each. Waiting here costs next to nothing, and ends with the
request's first look at its body: how long a body takes is not counted.
"""

import asyncio
from collections.abc import Container

from starlette.types import ASGIApp, Message, Receive, Scope, Send

AT_ONCE = 8


class Turnstile:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, *, uploads: Container[str], at_once: int = AT_ONCE) -> None:
        self._app = app
        self._uploads = uploads
        self._slots = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's message stream."""
        is_upload = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._uploads
        if not is_upload:
            await self._app(scope, receive, send)
            return
        await self._slots.acquire()
        waiting = True

        def pass_on() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._slots.release()

        async def begun() -> Message:
            pass_on()
            return await receive()

        try:
            await self._app(scope, begun, send)
        finally:
            pass_on()
