"""Reads the form in which `torch.save` wrote before PyTorch 1.6, and writes to this day when asked to.

Five pickles one after the other (magic number, version, the machine, what was saved, the keys of its storages),
then each storage as a count of items and the items, in the order of the keys (torch/serialization.py,
`_legacy_save`). The form before 0.1.10, a tar, is not read.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.torch_pickle import (
    LARGEST_PICKLE,
    ArchiveInvalid,
    Storage,
    TensorEntry,
    load_pickle,
    tensor,
)

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_COUNT = struct.Struct("<q")
_LITTLE_ENDIAN = "<"  # on every machine (THPStorage_writeFileRaw)


class TorchStream:
    """An open stream: `root` is what was saved, with a `TensorEntry` for each tensor."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._places: dict[str, int] = {}
        try:
            is_one = self._next() == _MAGIC and self._next() == _VERSION
        except ArchiveInvalid:
            is_one = False
        if not is_one:
            self._file.close()
            raise ArchiveInvalid("it is neither a zip archive nor a stream that PyTorch wrote")

    def __enter__(self) -> "TorchStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def root(self) -> object:
        """Return what was saved; `ArchiveInvalid` where it is more than containers, numbers and tensors."""
        self._next()  # the machine it was written on, which changes nothing
        saved = self._next()
        keys = self._next()
        storages = set(_storages(saved))
        by_key = {storage.key: storage for storage in storages}
        if len(by_key) != len(storages):
            raise ArchiveInvalid("two of its tensors describe one storage differently")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ArchiveInvalid("it has no list of storages")
        if sorted(keys) != sorted(by_key):
            raise ArchiveInvalid("its list of storages is not that of its tensors")
        for key in keys:
            self._places[key] = self._skip(by_key[key])
        return saved

    def array(self, entry: TensorEntry) -> NDArray[np.generic]:
        """Read one tensor, as a copy of the shape that `entry` names."""
        storage = entry.storage
        self._file.seek(self._places[storage.key])
        content = self._file.read(storage.length * storage.item_size)
        return tensor(entry, content, byte_order=_LITTLE_ENDIAN)

    def _next(self) -> object:
        return load_pickle(_Bounded(self._file))  # type: ignore[arg-type]  # all that `pickle` asks for

    def _skip(self, storage: Storage) -> int:
        """Step over a storage and return where its items begin."""
        head = self._file.read(_COUNT.size)
        start = self._file.tell()
        end = start + storage.length * storage.item_size
        if len(head) < _COUNT.size or end > self._file.seek(0, 2):
            raise ArchiveInvalid(f"it ends before its storage {storage.key} does; copy it again")
        if _COUNT.unpack(head) != (storage.length,):
            raise ArchiveInvalid(f"the storage {storage.key} has another length than its tensors need")
        self._file.seek(end)
        return start


class _Bounded:
    """What `pickle` reads from: names, shapes and settings need few bytes, whatever the file's size."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = LARGEST_PICKLE

    def read(self, n_bytes: int) -> bytes:
        return self._counted(self._file.read(min(n_bytes, self._left + 1)))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(self._left + 1))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise ArchiveInvalid("its pickle is larger than names and shapes can be")
        return content


def _storages(saved: object) -> list[Storage]:
    """Collect the storages of all tensors below what was saved, which may refer to itself."""
    found: list[Storage] = []
    seen: set[int] = set()
    waiting = [saved]
    while waiting:
        item = waiting.pop()
        if isinstance(item, TensorEntry):
            found.append(item.storage)
        elif isinstance(item, dict | list | tuple | set | frozenset) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend([*item, *item.values()] if isinstance(item, dict) else item)
    return found
