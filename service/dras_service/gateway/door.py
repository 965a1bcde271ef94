"""The end of a gateway: nothing new comes in, what is under way is finished, streams are let go."""

import asyncio
import logging
from contextlib import suppress

from dras_service.gateway.admission import Admission
from dras_service.gateway.events import EventHub

_log = logging.getLogger(__name__)


class Door:
    """Shut once, by whoever ends the process."""

    def __init__(self, admission: Admission, hub: EventHub) -> None:
        self._admission = admission
        self._hub = hub
        self._told = False

    @property
    def is_shut(self) -> bool:
        """Whether it has been told to shut: `/readyz` says so, and a proxy sends what comes elsewhere."""
        return self._told

    @property
    def under_way(self) -> int:
        """How many uploads are being received."""
        return self._admission.under_way

    async def shut(self, *, within_s: float, notice_s: float = 0.0) -> None:
        """Let nobody in any more and wait for the uploads under way, though not for ever.

        For `notice_s` before that, only `/readyz` says what is coming.
        """
        self._told = True
        await asyncio.sleep(notice_s)
        self._admission.drain()
        self._hub.drain()
        if self.under_way:
            _log.warning("%d uploads are under way; they have %.0f s", self.under_way, within_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._admission.wait_idle()
