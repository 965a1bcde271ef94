"""A limit to every body that is no upload: those are parsed as a whole, in memory."""

from collections.abc import Container

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 << 10
_TOO_LARGE = 413


class SmallBodies:
    """Ends a request whose body grows beyond the limit, unless its address takes uploads."""

    def __init__(self, app: ASGIApp, *, uploads: Container[str]) -> None:
        self._app = app
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted."""
        if scope["type"] != "http" or scope["path"] in self._uploads:
            await self._app(scope, receive, send)
            return
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > MOST_BYTES:
                raise HTTPException(_TOO_LARGE)  # the one exception that FastAPI lets through while it parses
            return message

        await self._app(scope, counted, send)
