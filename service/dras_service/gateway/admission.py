"""Who may come in just now: uploads under way, their rate, the queue's depth and the disk's room.

Each is a number of the settings; who is turned away is told when to come back. A process counts for itself:
with several gateways, each lets in as many.
"""

import asyncio
import shutil
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings

_STANDING_HOLDS_S = 1.0  # for which it is believed
_QUEUE_MOVES_S = 30.0  # a job takes seconds at best: who asks again sooner asks in vain
_MOST_TENANTS = 10_000  # whose rate is remembered; the one longest unseen is forgotten first


class Standing(NamedTuple):
    """What bears on whether a tenant's upload is let in."""

    n_waiting: int  # jobs, of all tenants
    uploads_per_minute: int | None  # of this one; None where the operator has not said


StandingOf = Callable[[str], Standing]


class Bucket:
    """Tokens that fill at a steady rate up to `burst`; every upload takes one."""

    def __init__(self, *, burst: int, now: float) -> None:
        self._burst = float(burst)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float, *, per_minute: float) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        rate = per_minute / 60.0
        self._tokens = min(self._burst, self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / rate


class Admission:
    """Lets uploads in, counts those under way, and shuts the door for good when the process ends."""

    def __init__(
        self,
        *,
        limits: GatewaySettings,
        folder: Path,
        standing: StandingOf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._folder = folder
        self._standing = standing
        self._now = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._known: dict[str, tuple[float, Standing]] = {}
        self._asking = asyncio.Lock()  # one question for all who wait for its answer
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    @property
    def under_way(self) -> int:
        """How many uploads are being received."""
        return self._under_way

    @asynccontextmanager
    async def upload(self, tenant: str, *, n_bytes: int) -> AsyncIterator[None]:
        """Let an upload of `n_bytes` in (0: not announced), or say why not.

        Raises ProblemRaised: DRAINING, TOO_BUSY, RATE_LIMITED, STORAGE_FULL, QUEUE_FULL.
        """
        self._check_open()
        with self._counted():
            self.check_disk(n_bytes)
            standing = await self._ask(tenant)
            self._check_queue(standing.n_waiting)
            self._check_rate(tenant, standing.uploads_per_minute or self._limits.rate_per_minute)
            yield

    def check_disk(self, n_bytes: int = 0) -> None:
        """Check that `n_bytes` more leave the disk its reserve. Raises ProblemRaised STORAGE_FULL."""
        if shutil.disk_usage(self._folder).free < n_bytes + self._limits.least_free_bytes:
            raise ProblemRaised(ProblemCode.STORAGE_FULL)

    def drain(self) -> None:
        """Let nobody in any more."""
        self.draining = True

    async def wait_idle(self) -> None:
        """Wait until no upload is under way."""
        await self._idle.wait()

    def _check_open(self) -> None:
        if self.draining:
            raise ProblemRaised(ProblemCode.DRAINING, retry_after_s=self._limits.shutdown_grace_s)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        limit = self._limits.max_uploads
        if self._under_way >= limit:
            raise ProblemRaised(
                ProblemCode.TOO_BUSY, retry_after_s=self._limits.retry_after_s, limit=str(limit)
            )
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    async def _ask(self, tenant: str) -> Standing:
        async with self._asking:
            now = self._now()
            self._known = {
                name: known for name, known in self._known.items() if now - known[0] <= _STANDING_HOLDS_S
            }
            if tenant not in self._known:
                self._known[tenant] = (now, await run_in_threadpool(self._standing, tenant))
            return self._known[tenant][1]

    def _check_queue(self, n_waiting: int) -> None:
        limit = self._limits.max_queued
        if n_waiting >= limit:
            raise ProblemRaised(ProblemCode.QUEUE_FULL, retry_after_s=_QUEUE_MOVES_S, limit=str(limit))

    def _check_rate(self, tenant: str, per_minute: int) -> None:
        now = self._now()
        bucket = self._buckets.get(tenant)
        if bucket is None:
            bucket = self._buckets[tenant] = Bucket(burst=min(self._limits.rate_burst, per_minute), now=now)
            if len(self._buckets) > _MOST_TENANTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(tenant)
        if wait_s := bucket.take(now, per_minute=per_minute):
            raise ProblemRaised(
                ProblemCode.RATE_LIMITED, retry_after_s=wait_s, limit=f"{per_minute} uploads a minute"
            )
