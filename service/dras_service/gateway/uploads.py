"""The way of an upload: the door, then disk, then the database; only then the answer.

Memory stays flat: blocks go to the disk in a thread. Whatever ends an upload early, the client included, leaves
neither a file nor a row.
"""

import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import InvalidField, ProblemCode
from dras_service.gateway.admission import Admission
from dras_service.gateway.archives import ArchiveLimits, check_archive
from dras_service.gateway.bodies import MULTIPART_TYPES, RAW_TYPES, Body, open_body
from dras_service.gateway.pace import paced
from dras_service.gateway.problems import InvalidParameters, ProblemRaised
from dras_service.settings import GatewaySettings
from dras_service.store.blobs import BlobStore
from dras_service.store.incoming import Incoming
from dras_service.store.keeping import keep
from dras_service.store.rows import Order, RequestKey, StoredStudy, Submitted
from dras_service.store.store import Store

_DISK_EVERY_BYTES = 64 << 20  # another look at the disk's room
# Threads that write bodies and that make jobs. More of them only wait for each other, and keep the event loop from
# its turn (decision 0044).
_WRITERS = min(max(os.cpu_count() or 1, 2), 8)
_KEEPERS = 4  # one, where the database lets one in
_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,200})"?')  # a structured string, or the same without its quotes


class Received(NamedTuple):
    """A complete upload; `path` is gone with the context it was received in, unless it is kept."""

    incoming: Incoming
    path: Path
    stored: StoredStudy


class Intake:
    """Takes uploads in and makes jobs of them."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: BlobStore,
        wake_publisher: Callable[[], None],
        admission: Admission,
        limits: GatewaySettings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._wake_publisher = wake_publisher
        self._admission = admission
        self._limits = limits
        self._in_use: set[tuple[str, str]] = set()
        self._writing = CapacityLimiter(_WRITERS)
        self._keeping = CapacityLimiter(1 if store.has_one_writer else _KEEPERS)

    async def take(self, request: Request, order: Order, *, tenant: str, key: str | None = None) -> Submitted:
        """Receive the body of `request` and queue a job for it; `key` is its Idempotency-Key.

        Raises ProblemRaised, StoreError.
        """
        # Hashed, because a client may put anything in there, and it is kept.
        key = None if key is None else hashlib.sha256(_bare(key).encode()).hexdigest()
        if order.bundle is not None:
            await run_in_threadpool(self._check_bundle, order.bundle)
        with self._using(tenant, key):
            async with self.receive(request, tenant=tenant) as received:
                work = partial(
                    keep,
                    received.incoming,
                    order,
                    tenant=tenant,
                    submission=self._store.submission,
                    blobs=self._blobs,
                    request=None if key is None else RequestKey(key, _digest(received.stored, order)),
                )
                kept = await to_thread.run_sync(work, limiter=self._keeping)
        if kept.is_new:
            self._wake_publisher()
        return kept

    @asynccontextmanager
    async def receive(self, request: Request, *, tenant: str) -> AsyncIterator[Received]:
        """Receive the body of `request` whole. Raises ProblemRaised, StoreError."""
        n_bytes = self._check_headers(request)
        async with (
            self._admission.upload(tenant, n_bytes=n_bytes),
            # Its folder is made and removed in the disk's own time, which the event loop must not wait for.
            contextmanager_in_threadpool(self._blobs.receive()) as incoming,
        ):
            content_type = request.headers.get("content-type")
            body = open_body(content_type, incoming, max_files=self._limits.max_files)
            await self._feed(body, request)
            complete = partial(self._complete, body, incoming, tenant)
            yield await to_thread.run_sync(complete, limiter=self._writing)

    async def _feed(self, body: Body, request: Request) -> None:
        looked_at = 0
        n_bytes = 0
        async with aclosing(paced(request.stream(), self._limits)) as blocks:
            async for block in blocks:
                await to_thread.run_sync(body.feed, block, limiter=self._writing)
                n_bytes += len(block)
                if n_bytes - looked_at > _DISK_EVERY_BYTES:
                    await run_in_threadpool(self._admission.check_disk)
                    looked_at = n_bytes

    def _complete(self, body: Body, incoming: Incoming, tenant: str) -> Received:
        body.end()
        if incoming.n_files == 0:
            raise ProblemRaised(ProblemCode.EMPTY_UPLOAD)
        path, stored = incoming.seal(tenant)
        if incoming.n_files == 1:  # archives among other files stay closed
            limits = ArchiveLimits(self._limits.max_files, self._limits.max_unpacked_bytes)
            check_archive(path, limits)
        return Received(incoming, path, stored)

    def _check_headers(self, request: Request) -> int:
        """Return the bytes that are announced, 0 for none."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            allowed = ", ".join((*RAW_TYPES, *MULTIPART_TYPES))
            raise ProblemRaised(ProblemCode.UNSUPPORTED_MEDIA_TYPE, allowed=allowed)
        announced = request.headers.get("content-length", "")
        if announced == "0":
            raise ProblemRaised(ProblemCode.EMPTY_UPLOAD)
        n_bytes = int(announced) if announced.isdecimal() else 0
        if n_bytes > self._limits.max_upload_bytes:
            raise ProblemRaised(ProblemCode.UPLOAD_TOO_LARGE, limit_bytes=self._limits.max_upload_bytes)
        return n_bytes

    def _check_bundle(self, name: str) -> None:
        """Refuse what no worker has proven, before a byte of the body is read."""
        offered = [view.name for view in self._store.bundles.offered()]
        if not offered:  # no worker of this service has ever started
            raise ProblemRaised(
                ProblemCode.NOT_READY, retry_after_s=self._limits.retry_after_s, missing="worker"
            )
        if name not in offered:
            raise ProblemRaised(ProblemCode.UNKNOWN_BUNDLE, offered=", ".join(offered))

    @contextmanager
    def _using(self, tenant: str, key: str | None) -> Iterator[None]:
        """Hold a key while its request is under way; another gateway's is held apart by the database."""
        if key is None:
            yield
            return
        held = (tenant, key)
        if held in self._in_use:
            raise ProblemRaised(ProblemCode.IDEMPOTENCY_KEY_IN_USE, retry_after_s=self._limits.retry_after_s)
        self._in_use.add(held)
        try:
            yield
        finally:
            self._in_use.discard(held)


def _bare(header: str) -> str:
    """Return the key of an Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07)."""
    match = _KEY.fullmatch(header.strip())
    if match is None:
        raise InvalidParameters(InvalidField(field="header.idempotency-key", rule="string_pattern_mismatch"))
    return match[1]


def _digest(stored: StoredStudy, order: Order) -> str:
    """Return what tells one request from another: the content and everything that is asked of it."""
    asked = [
        stored.sha256,
        order.series_uid,
        order.bundle,
        dict(order.options),
        order.priority,
        order.repeat,
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
