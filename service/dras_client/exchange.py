"""Asking until there is an answer, and reading it as what it should be.

Everything that is asked may be asked again without a second effect: an upload carries an Idempotency-Key, and what
was removed is removed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from dras_client.errors import DrasClientError, UnexpectedAnswer, fault_of
from dras_client.patience import Patience
from dras_client.wire import Arriving, Ask, Wire

_Model = TypeVar("_Model", bound=BaseModel)


class Exchange:
    """All that is said to one service. Any method raises DrasClientError."""

    def __init__(self, wire: Wire, *, retry_for_s: float) -> None:
        self.wire = wire
        self._retry_for_s = retry_for_s

    def patience(self) -> Patience:
        """Return fresh patience."""
        return Patience(self._retry_for_s)

    async def get(self, path: str, model: type[_Model]) -> _Model:
        """Return what is at `path`."""
        return self.read(await self.answer(Ask("GET", path)), model)

    async def answer(self, ask: Ask, patience: Patience | None = None) -> httpx2.Response:
        """Return the first answer that is a success."""
        patience = patience or self.patience()
        while True:
            try:
                response = await self.wire.send(ask)
                self._check(response)
            except DrasClientError as fault:
                await self.bear(fault, patience)
            else:
                return response

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Arriving]:
        """Ask once, for what is read as it comes."""
        async with self.wire.open(ask) as arriving:
            self._check(arriving.head)
            yield arriving

    async def bear(self, fault: DrasClientError, patience: Patience) -> None:
        """Pause where a fault may pass; raise it where it will not, or the patience is at its end."""
        pause_s = patience.next_pause_s(fault.retry_after_s) if fault.may_pass else None
        if pause_s is None:
            raise fault
        await self.wire.pause(pause_s)

    def read(self, response: httpx2.Response, model: type[_Model]) -> _Model:
        """Return an answer as `model`; fields that are newer than this SDK are left out."""
        return self.parse(response.content, model)

    def parse(self, text: bytes | str, model: type[_Model]) -> _Model:
        """Return JSON as `model`. Raises UnexpectedAnswer."""
        try:
            return model.model_validate_json(text, extra="ignore")
        except ValidationError as error:
            raise UnexpectedAnswer(
                f"What answers at {self.wire.url} is no dras service of this version."
            ) from error

    def _check(self, response: httpx2.Response) -> None:
        fault = fault_of(response, self.wire.url)
        if fault is not None:
            raise fault
