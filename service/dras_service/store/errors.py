"""What the store can answer instead of a row; SQL's and the system's own errors stop here.

StoreError
├── StoreUnavailable   the database cannot be reached or is locked
├── StorageFull        the disk is full
├── LeaseLost          the job was given to another worker: stop, and commit nothing
├── Cancelled          nobody wants the job any more: stop, and say so
├── BlobGone           the study's blob was purged meanwhile: keep it again
├── QuotaExceeded      the tenant has no room for this
├── RequestKeyReused   the Idempotency-Key came with another request before
├── UnknownTenant      there is no such tenant
└── SchemaUnknown      the database is of a later version of this program
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PG_DISK_FULL = "53100"


class StoreError(Exception):
    """Base of what the store can answer."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or is locked."""


class StorageFull(StoreError):
    """The disk is full."""


class LeaseLost(StoreError):
    """The job was given to another worker."""


class Cancelled(StoreError):
    """The job is to be stopped."""


class BlobGone(StoreError):
    """The study's blob was purged between being kept and being submitted."""


class QuotaExceeded(StoreError):
    """The tenant has no room; `quota` is the column that says so."""

    def __init__(self, quota: Literal["max_stored_bytes", "max_queued_jobs"], limit: int) -> None:
        self.quota = quota
        self.limit = limit
        super().__init__(f"{quota} of {limit} is reached")


class RequestKeyReused(StoreError):
    """An Idempotency-Key came with another request before."""


class UnknownTenant(StoreError):
    """There is no such tenant."""


class SchemaUnknown(StoreError):
    """The database is of a later version of this program."""


def is_full(error: BaseException) -> bool:
    """Whether an error, ours or the system's, says that a disk is full."""
    return isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _FULL)


@contextmanager
def translated() -> Iterator[None]:
    """Turn a full disk and an unreachable database into errors of this module."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        # SQLITE_FULL has no class of its own, only this text.
        if "full" in str(error.orig) or getattr(error.orig, "sqlstate", None) == _PG_DISK_FULL:
            raise StorageFull("the database's disk is full") from error
        raise StoreUnavailable("the database cannot be reached") from error
    except PoolTimeout as error:
        raise StoreUnavailable("no connection to the database is free") from error
    except OSError as error:
        if is_full(error):
            raise StorageFull("the blobs' disk is full") from error
        raise
