"""uvicorn as the gateway runs it: our protocol, no word about itself, and connections accepted a few at a time.

asyncio accepts as many connections in one turn of its loop as the kernel may let wait. With two thousand, whoever
asks for health meanwhile waits for all of them; so the loop is told a small number, the kernel a large one.
"""

import gc
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from dras_service.gateway.protocol import BoundedProtocol
from dras_service.settings import GatewaySettings

BACKLOG = 2048  # connections that may wait to be accepted
_ACCEPTED_AT_ONCE = 32
# A thread that computes keeps the interpreter for so long while the event loop has work; 5 ms by default.
_TURN_S = 0.001


class Server(uvicorn.Server):
    """Serves on sockets that are given to `serve`."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol.within(settings.header_timeout_s),
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                backlog=_ACCEPTED_AT_ONCE,
                timeout_graceful_shutdown=int(settings.shutdown_grace_s),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        sys.setswitchinterval(_TURN_S)
        # What was imported stays: looked through again at every full collection, it stopped a busy gateway for
        # up to half a second.
        gc.collect()
        gc.freeze()
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)
