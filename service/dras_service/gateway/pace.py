"""How fast and how long a body may come: bytes, silence, the whole, and a least rate.

Only time spent waiting for the client is counted against it, never our own disk's. A client that sends a byte
a second is never silent; the least rate ends it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import ClientDisconnect

from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings

BLOCK = 1 << 17  # with a thousand uploads at once, an eighth of a gigabyte
RATE_COUNTS_AFTER_S = 30.0
_log = logging.getLogger(__name__)


async def paced(chunks: AsyncIterator[bytes], limits: GatewaySettings) -> AsyncGenerator[bytes, None]:
    """Yield a body in blocks of about `BLOCK` bytes, counted and timed.

    Raises ProblemRaised: UPLOAD_TOO_LARGE, UPLOAD_TOO_SLOW, UPLOAD_INCOMPLETE.
    """
    pending = bytearray()
    n_bytes = 0
    waited_s = 0.0
    while True:
        started = time.monotonic()
        try:
            async with asyncio.timeout(min(limits.idle_timeout_s, limits.upload_deadline_s - waited_s)):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            break
        except ClientDisconnect as error:
            _log.info("an upload broke off")
            raise ProblemRaised(ProblemCode.UPLOAD_INCOMPLETE) from error
        except TimeoutError as error:
            raise _too_slow(f"No byte came for {limits.idle_timeout_s:.0f} seconds") from error
        waited_s += time.monotonic() - started
        n_bytes += len(chunk)
        if n_bytes > limits.max_upload_bytes:
            raise ProblemRaised(ProblemCode.UPLOAD_TOO_LARGE, limit_bytes=limits.max_upload_bytes)
        _check_rate(n_bytes, waited_s, limits)
        pending += chunk
        if len(pending) >= BLOCK:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)


def _check_rate(n_bytes: int, waited_s: float, limits: GatewaySettings) -> None:
    if waited_s >= limits.upload_deadline_s:
        raise _too_slow(f"It was not complete after {limits.upload_deadline_s:.0f} seconds")
    counted_s = waited_s - RATE_COUNTS_AFTER_S
    if counted_s > 0 and n_bytes < limits.least_rate_bytes_s * counted_s:
        raise _too_slow(f"Less than {limits.least_rate_bytes_s} bytes a second came")


def _too_slow(fault: str) -> ProblemRaised:
    return ProblemRaised(ProblemCode.UPLOAD_TOO_SLOW, fault=fault)
