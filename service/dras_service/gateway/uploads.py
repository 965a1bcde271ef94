"""The way of an upload: limits, then disk, then the database; only then the answer.

Memory stays flat: blocks of a megabyte go to the disk in a thread. Whatever ends an upload early, the
client included, leaves neither a file nor a row.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dras_service.api.problems import ProblemCode
from dras_service.gateway.bodies import MULTIPART_TYPES, RAW_TYPES, open_body
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import StoreError
from dras_service.store.incoming import Incoming
from dras_service.store.jobs import JobStore
from dras_service.store.rows import Job

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20


class Intake:
    """Takes uploads in and makes jobs of them."""

    def __init__(
        self,
        *,
        store: JobStore,
        blobs: BlobStore,
        publish: Callable[[str], None],
        limits: GatewaySettings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._publish = publish
        self._limits = limits
        self._keeping = threading.Lock()

    async def take(self, request: Request, *, series_uid: str | None, bundle: str | None) -> Job:
        """Receive the body of `request` and queue a job for it. Raises ProblemRaised, StoreError."""
        self._check_headers(request)
        if bundle is not None:
            await run_in_threadpool(self._check_bundle, bundle)
        with self._blobs.receive() as incoming:
            body = open_body(request.headers.get("content-type"), incoming, max_files=self._limits.max_files)
            async for block in self._blocks(request):
                await run_in_threadpool(body.feed, block)
            await run_in_threadpool(body.end)
            if incoming.n_files == 0:
                raise ProblemRaised(ProblemCode.EMPTY_UPLOAD)
            job = await run_in_threadpool(self._keep, incoming, series_uid, bundle)
        await run_in_threadpool(self._publish, job.id)
        return job

    def _check_headers(self, request: Request) -> None:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            allowed = ", ".join((*RAW_TYPES, *MULTIPART_TYPES))
            raise ProblemRaised(ProblemCode.UNSUPPORTED_MEDIA_TYPE, allowed=allowed)
        announced = request.headers.get("content-length", "")
        if announced == "0":
            raise ProblemRaised(ProblemCode.EMPTY_UPLOAD)
        if announced.isdecimal() and int(announced) > self._limits.max_upload_bytes:
            raise self._too_large()

    def _check_bundle(self, name: str) -> None:
        """Refuse what no worker has proven, before a byte of the body is read."""
        offered = [view.name for view in self._store.offered()]
        if not offered:  # no worker of this service has ever started
            raise ProblemRaised(
                ProblemCode.NOT_READY, retry_after_s=self._limits.retry_after_s, missing="worker"
            )
        if name not in offered:
            raise ProblemRaised(ProblemCode.UNKNOWN_BUNDLE, offered=", ".join(offered))

    async def _blocks(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body in blocks of about a megabyte, counted and timed."""
        chunks = request.stream()
        pending = bytearray()
        n_bytes = 0
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_timeout_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            except ClientDisconnect as error:
                _log.info("an upload broke off")
                raise ProblemRaised(ProblemCode.UPLOAD_INCOMPLETE) from error
            except TimeoutError as error:
                idle_timeout_s = self._limits.idle_timeout_s
                raise ProblemRaised(ProblemCode.UPLOAD_TOO_SLOW, idle_timeout_s=idle_timeout_s) from error
            n_bytes += len(chunk)
            if n_bytes > self._limits.max_upload_bytes:
                raise self._too_large()
            pending += chunk
            if len(pending) >= _BLOCK:
                yield bytes(pending)
                pending.clear()
        if pending:
            yield bytes(pending)

    def _keep(self, incoming: Incoming, series_uid: str | None, bundle: str | None) -> Job:
        """Keep the study and write its job; a study without a job is not kept."""
        # One at a time: the same study, uploaded twice at once, must not lose its blob to the other's fault.
        with self._keeping:
            stored = self._blobs.keep_study(incoming)
            try:
                return self._store.submit(stored, series_uid=series_uid, bundle=bundle)
            except StoreError:
                with suppress(StoreError):
                    if not self._store.knows_study(stored.key):
                        self._blobs.discard_study(stored.key)
                raise

    def _too_large(self) -> ProblemRaised:
        return ProblemRaised(ProblemCode.UPLOAD_TOO_LARGE, limit_bytes=self._limits.max_upload_bytes)
