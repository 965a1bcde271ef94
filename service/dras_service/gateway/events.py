"""Event streams: one poller reads what has changed, and every listener hears what concerns it.

A listener is attached first and then reads what it missed, so that nothing falls in between; what it hears
twice is told once, by its id. Ids ascend for one tenant, so each tenant with a listener is polled by itself.
A listener that does not read in time is let go: it comes back with Last-Event-ID and has lost nothing.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from starlette.concurrency import run_in_threadpool

from dras_model.results.study import Stage
from dras_service.api.events import JobEventView
from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings
from dras_service.store.errors import StoreError
from dras_service.store.events import Events
from dras_service.store.rows import JobEvent

_PAGE = 500
_MOST_UNREAD = 1000  # events of a listener
_log = logging.getLogger(__name__)
RECONNECT_MS = 2000


class Listener:
    """Who hears the events of a tenant, or of one of its jobs."""

    def __init__(self, tenant: str, job_id: str | None) -> None:
        self.tenant = tenant
        self.job_id = job_id
        self.unread: asyncio.Queue[JobEvent | None] = asyncio.Queue(_MOST_UNREAD)  # None: the end
        self._ended = False

    def tell(self, event: JobEvent) -> None:
        """Put an event where the listener finds it, unless it is another job's."""
        if self._ended or self.job_id not in (None, event.job_id):
            return
        if self.unread.full():
            while not self.unread.empty():  # all of them: after a gap nothing may be told
                self.unread.get_nowait()
            self.end()
        else:
            self.unread.put_nowait(event)

    def end(self) -> None:
        """Let the listener go once it has read what it has."""
        self._ended = True
        if not self.unread.full():
            self.unread.put_nowait(None)


class EventHub:
    """All listeners of this process, and the one poller; runs between `start` and `stop`."""

    def __init__(self, source: Events, limits: GatewaySettings) -> None:
        self._source = source
        self._limits = limits
        self._listeners: set[Listener] = set()
        self._cursors: dict[str, int] = {}
        self._wanted = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._open = True

    @property
    def n_listeners(self) -> int:
        """How many are listening."""
        return len(self._listeners)

    def start(self) -> None:
        """Begin to poll."""
        self._poller = asyncio.create_task(self._poll(), name="events")

    def drain(self) -> None:
        """End all streams; each listener may come back elsewhere with its Last-Event-ID."""
        self._open = False
        for listener in self._listeners:
            listener.end()

    async def stop(self) -> None:
        """End all streams and the poller."""
        self.drain()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    def check_room(self) -> None:
        """Check that another listener may come. Raises ProblemRaised: TOO_BUSY, DRAINING."""
        if not self._open:
            raise ProblemRaised(ProblemCode.DRAINING, retry_after_s=self._limits.shutdown_grace_s)
        limit = self._limits.max_listeners
        if len(self._listeners) >= limit:
            raise ProblemRaised(
                ProblemCode.TOO_BUSY, retry_after_s=self._limits.retry_after_s, limit=str(limit)
            )

    async def last_id(self, tenant: str, job_id: str) -> int:
        """Return the id of a job's latest event, 0 where there is none."""
        return await run_in_threadpool(self._source.last_id, tenant=tenant, job_id=job_id)

    async def listen(
        self, tenant: str, *, job_id: str | None = None, after: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the stream's text from behind `after` (None: from now); that of a job ends with the job."""
        with self._attached(tenant, job_id) as listener:
            newest = await run_in_threadpool(self._source.last_id, tenant=tenant)
            self._cursors.setdefault(tenant, newest)
            self._wanted.set()
            told = newest if after is None else after
            yield b"retry: %d\nid: %d\n\n" % (
                RECONNECT_MS,
                told,
            )  # who leaves before any event comes back to this
            async for event in self._events(listener, told):
                yield b": alive\n\n" if event is None else _text(event)
                if event is not None and job_id is not None and event.state.is_terminal:
                    return

    async def _events(self, listener: Listener, told: int) -> AsyncIterator[JobEvent | None]:
        """Yield what was missed and then what comes; None from time to time where nothing does.

        It ends after a while, too: a key may have been revoked meanwhile.
        """
        ends_at = time.monotonic() + self._limits.stream_limit_s
        read = partial(self._source.after, tenant=listener.tenant, job_id=listener.job_id, limit=_PAGE)
        while missed := await run_in_threadpool(read, told):
            for earlier in missed:
                yield earlier
            told = missed[-1].id
        while (left_s := ends_at - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(self._limits.heartbeat_s, left_s)):
                    event = await listener.unread.get()
            except TimeoutError:
                yield None
                continue
            if event is None:
                return
            if event.id > told:
                told = event.id
                yield event

    @contextmanager
    def _attached(self, tenant: str, job_id: str | None) -> Iterator[Listener]:
        listener = Listener(tenant, job_id)
        self._listeners.add(listener)
        if not self._open:
            listener.end()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not any(other.tenant == tenant for other in self._listeners):
                self._cursors.pop(tenant, None)

    async def _poll(self) -> None:
        while True:
            if not self._cursors:
                self._wanted.clear()
                await self._wanted.wait()
            for tenant in tuple(self._cursors):
                try:
                    await self._look(tenant)
                except StoreError as error:
                    _log.warning("events put off: %s", type(error).__name__)
            await asyncio.sleep(self._limits.event_poll_s)

    async def _look(self, tenant: str) -> None:
        found = await run_in_threadpool(self._source.after, self._cursors[tenant], tenant=tenant, limit=_PAGE)
        if tenant not in self._cursors:  # its last listener left meanwhile
            return
        for event in found:
            self._cursors[tenant] = event.id
            for listener in tuple(self._listeners):
                if listener.tenant == tenant:
                    listener.tell(event)


def _text(event: JobEvent) -> bytes:
    """Return an event as a stream's text (HTML, 9.2.6)."""
    view = JobEventView(
        job_id=event.job_id,
        at=datetime.fromtimestamp(event.at, UTC),
        state=event.state,
        stage=None if event.stage is None else Stage(event.stage),
        progress=event.progress,
        attempt=event.attempt,
        code=event.code,
    )
    return f"id: {event.id}\nevent: job\ndata: {view.model_dump_json()}\n\n".encode()
