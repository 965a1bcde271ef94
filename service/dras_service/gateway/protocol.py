"""HTTP/1.1 as uvicorn speaks it, with what it leaves out.

That is a deadline for who never ends the head of a request, another for who goes on sending after the answer,
a problem document for what is no HTTP at all, and a gate: of a thousand uploads that come at once, one begins in a
turn of the event loop, so that who asks for anything else waits for one of them and not for all.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from dras_service.api.problems import MEDIA_TYPE, Problem, ProblemCode

UPLOADS = (b"POST /v1/studies", b"POST /v1/validate")
LINGER_S = 5.0  # for a client to read the answer before it has sent all: closing at once would reset it


class Gate:
    """Calls what waits at it in order, one in a turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, loop: asyncio.AbstractEventLoop, enter: Callable[[], None]) -> None:
        """Have `enter` called when its turn has come."""
        self._waiting.append(enter)
        if len(self._waiting) == 1:
            loop.call_soon(self._let_in, loop)

    def _let_in(self, loop: asyncio.AbstractEventLoop) -> None:
        enter = self._waiting[0]
        try:
            enter()
        finally:
            self._waiting.popleft()
            if self._waiting:
                loop.call_soon(self._let_in, loop)


class BoundedProtocol(H11Protocol):
    """One connection. `header_timeout_s` is how long the head of a request may take."""

    header_timeout_s = 20.0
    gate = Gate()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._held = b""  # what came of an upload that waits at the gate

    @classmethod
    def within(cls, header_timeout_s: float) -> type["BoundedProtocol"]:
        """Return this protocol with another time for heads."""
        return type(cls.__name__, (cls,), {"header_timeout_s": header_timeout_s, "gate": Gate()})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the head of a first request."""
        super().connection_made(transport)
        self._expect(self.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head have a deadline that more of them does not move."""
        if self.conn.their_state is h11.IDLE and not self._held and data.startswith(UPLOADS):
            self._held = data
            self.flow.pause_reading()
            self.gate.wait(self.loop, self._enter)
        else:
            self._take(data)

    def _enter(self) -> None:
        data, self._held = self._held, b""
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._take(data)

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._release()
        elif self._deadline is None:
            self._expect(self.header_timeout_s)

    def on_response_complete(self) -> None:
        """Give who still sends a body that nobody reads a moment to see the answer."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._expect(LINGER_S)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are no document
        """Answer what is no HTTP with a problem document, unless an answer has begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = Problem.of(ProblemCode.BAD_REQUEST).model_dump_json().encode()
            headers = [
                ("content-type", MEDIA_TYPE),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect(self, within_s: float) -> None:
        self._release()
        self._deadline = self.loop.call_later(within_s, self._end)

    def _release(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        self.transport.close()
