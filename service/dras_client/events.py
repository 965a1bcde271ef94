"""A stream of events that outlives its connections: who comes back says what was heard last, and misses nothing.

The format is that of HTML, 9.2.6, as far as the service uses it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import Field

from dras_client.errors import DrasClientError, ServiceUnreachable
from dras_client.exchange import Exchange
from dras_client.patience import Patience
from dras_client.wire import Ask
from dras_service.api.events import JobEventView

_NO_CONTENT = 204


class JobEvent(JobEventView):
    """A job changed. `id` is what `after` of a later stream takes."""

    id: int = Field(ge=0)


class Block:
    """The fields of one event as they arrive."""

    def __init__(self) -> None:
        self.id: int | None = None
        self.data: list[str] = []

    def take(self, line: str) -> None:
        """Read one line that is not empty; comments and fields that are not used are left out."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self.data.append(value)
        elif name == "id" and value.isdecimal():
            self.id = int(value)


async def blocks_of(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[Block, None]:
    """Yield the blocks of a stream; one that is cut off before its empty line is dropped."""
    rest, block = b"", Block()
    async with aclosing(pieces):
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                text = line.rstrip(b"\r").decode("utf-8", "replace")
                if text:
                    block.take(text)
                else:
                    yield block
                    block = Block()


async def follow(
    exchange: Exchange, path: str, *, after: int | None, ends: bool
) -> AsyncGenerator[JobEvent, None]:
    """Yield the events at `path`, coming back whenever the stream breaks; one that `ends` does so with its job.

    Raises DrasClientError, ServiceUnreachable once the service was away for longer than is borne.
    """
    last = after
    patience: Patience | None = None  # from the first fault after a sign of life
    while True:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        try:
            async with exchange.open(Ask("GET", path, headers=headers)) as arriving:
                if arriving.head.status_code == _NO_CONTENT:
                    return
                async with aclosing(blocks_of(arriving.blocks())) as blocks:
                    async for block in blocks:
                        if block.data or block.id is None:  # an event or a sign of life, not the opening
                            patience = None
                        last = block.id if block.id is not None else last
                        if block.data and last is not None:
                            event = _read(exchange, block, last)
                            yield event
                            if ends and event.state.is_terminal:
                                return
            raise ServiceUnreachable(f"{exchange.wire.url} has ended a stream of events.")
        except DrasClientError as fault:
            patience = patience or exchange.patience()
            await exchange.bear(fault, patience)


def _read(exchange: Exchange, block: Block, number: int) -> JobEvent:
    view = exchange.parse("\n".join(block.data), JobEventView)
    return JobEvent(id=number, **view.model_dump())
