import errno

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dras_service.store.errors import StorageFull, StoreUnavailable, is_full, translated


class DiskFull(Exception):
    sqlstate = "53100"  # PostgreSQL's table of error codes: disk_full


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (OperationalError("", {}, Exception("database or disk is full")), StorageFull),
        (OperationalError("", {}, DiskFull("could not extend file")), StorageFull),
        (OperationalError("", {}, Exception("database is locked")), StoreUnavailable),
        (PoolTimeout(), StoreUnavailable),
        (OSError(errno.ENOSPC, ""), StorageFull),
        (OSError(errno.EDQUOT, ""), StorageFull),
        (OSError(errno.EIO, ""), OSError),
        (ValueError(), ValueError),
    ],
    ids=repr,
)
def test_what_others_raise_becomes_an_error_of_the_store_or_stays_what_it_is(fault, expected):
    with pytest.raises(expected) as raised, translated():
        raise fault
    assert type(raised.value) is expected


def test_a_full_disk_is_known_from_both_kinds_of_error():
    assert is_full(StorageFull(""))
    assert is_full(OSError(errno.ENOSPC, ""))
    assert not is_full(OSError(errno.EIO, ""))
    assert not is_full(StoreUnavailable(""))
