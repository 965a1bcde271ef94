"""What the store can answer instead of a row; SQL's and the system's own errors stop here.

StoreError
├── StoreUnavailable   the database cannot be reached or is locked
├── StorageFull        the disk or the quota is full
└── LeaseLost          the job was given to another worker: stop, and commit nothing
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StoreError(Exception):
    """Base of what the store can answer."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or is locked."""


class StorageFull(StoreError):
    """The disk or the quota is full."""


class LeaseLost(StoreError):
    """The job was given to another worker."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn a full disk and an unreachable database into errors of this module."""
    try:
        yield
    except OperationalError as error:
        # SQLITE_FULL has no class of its own, only this text.
        if "full" in str(error.orig):
            raise StorageFull("the database's disk is full") from error
        raise StoreUnavailable("the database cannot be reached") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the blobs' disk is full") from error
        raise
