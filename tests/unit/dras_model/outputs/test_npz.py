import time
from pathlib import Path

import numpy as np
import pytest

from dras_model.outputs.npz import ArchiveError, read_npz, write_npz

ARRAYS = {
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "flags": np.array([True, False]),
    "number": np.int64(32),
    "strided": np.arange(10, dtype=np.uint8)[::3],
}


@pytest.mark.parametrize("compressed", [True, False])
def test_numpy_reads_every_array_in_its_shape_and_type_and_so_do_we(compressed: bool, tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", ARRAYS, compressed=compressed)
    with np.load(tmp_path / "x.npz") as stored:
        for found in (dict(stored), read_npz(tmp_path / "x.npz")):
            assert list(found) == list(ARRAYS)
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(found[name], array)
                assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def test_equal_arrays_give_equal_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "now.npz", ARRAYS, compressed=True)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_npz(tmp_path / "later.npz", ARRAYS, compressed=True)
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_what_is_no_archive_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ArchiveError, match="cannot be read"):
        read_npz(tmp_path / "x.npz")


def test_an_archive_that_is_damaged_anywhere_is_told_or_reads_the_same(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", {"a": np.arange(50)}, compressed=True)
    whole = (tmp_path / "x.npz").read_bytes()
    for cut in range(0, len(whole), 7):
        (tmp_path / "x.npz").write_bytes(whole[:cut])
        with pytest.raises(ArchiveError):
            read_npz(tmp_path / "x.npz")
