"""Reads the tensors of a PyTorch zip file without PyTorch and without running anything it pickles.

A pickle is a program. This one may name four things: an ordered dictionary, a tensor, a storage type and
a storage; anything else stops the reading. Tensors are read when asked for, so a queue of a gigabyte costs
nothing. The format before PyTorch 1.6, which is no zip, is refused.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ITEMS = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_LARGEST_PICKLE = 64 * 2**20  # bytes; names, shapes and settings, no numbers
# What `zipfile` and `pickle` raise on bytes that were made to break them.
_ZIP_FAULTS = (zipfile.BadZipFile, OSError, ValueError, LookupError, EOFError, RuntimeError)
_PICKLE_FAULTS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class ArchiveInvalid(ValueError):
    """The file is no PyTorch archive that may be read; the text is one clause."""


# Named tuples, and nothing with a `__dict__` or `__setstate__`: a pickle may try to change what it was given.
class _Storage(NamedTuple):
    key: str
    items: str  # NumPy's code of one item, without byte order
    length: int


class TensorEntry(NamedTuple):
    """Where a tensor lies: `offset` and `strides` count items of its storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_floating(self) -> bool:
        """Whether the items are floating-point numbers."""
        return self.storage.items.startswith("f")


class _StorageType(NamedTuple):
    items: str


class _RebuildTensor:
    """Stands for `torch._utils._rebuild_tensor_v2`."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, strides: object, *_: object) -> object:
        if (
            isinstance(storage, _Storage)
            and isinstance(shape, tuple)
            and isinstance(strides, tuple)
            and isinstance(offset, int)
            and len(shape) == len(strides)
            and all(type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *strides))
        ):
            return TensorEntry(storage, offset, shape, strides)
        raise pickle.UnpicklingError("a tensor is not described as PyTorch does")


class _Reader(pickle.Unpickler):
    """An unpickler that can make containers, numbers, texts and `TensorEntry`, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if module == "torch" and name in _ITEMS:
            return _StorageType(_ITEMS[name])
        named = ascii(f"{module}.{name}")[1:-1]  # no line breaks or control characters in the sentence
        raise pickle.UnpicklingError(f"it names {named:.80}, which is not needed to hold tensors")

    def persistent_load(self, pid: object) -> _Storage:
        match pid:
            case ("storage", _StorageType(items), str(key), str(), int(length)) if length >= 0:
                return _Storage(key, items, length)
        raise pickle.UnpicklingError("a storage is not described as PyTorch does")


class TorchArchive:
    """An open archive: `root` is what was saved, with a `TensorEntry` for each tensor."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except _ZIP_FAULTS as fault:
            raise ArchiveInvalid("it is not in PyTorch's zip format (PyTorch 1.6 and later)") from fault
        pickles = [name for name in self._zip.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            self._zip.close()
            raise ArchiveInvalid(f"it holds {len(pickles)} files data.pkl, one is needed")
        self._folder = pickles[0].removesuffix("data.pkl")

    def __enter__(self) -> "TorchArchive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def root(self) -> object:
        """Return what was saved; `ArchiveInvalid` where it is more than containers, numbers and tensors."""
        content = self._read("data.pkl", _LARGEST_PICKLE)
        try:
            saved: object = _Reader(io.BytesIO(content)).load()
        except pickle.UnpicklingError as fault:
            raise ArchiveInvalid(f"its pickle is refused: {fault}") from fault
        except _PICKLE_FAULTS as fault:
            raise ArchiveInvalid(f"its pickle is malformed ({type(fault).__name__})") from fault
        return saved

    def array(self, entry: TensorEntry) -> NDArray[np.generic]:
        """Read one tensor, as a copy of the shape that `entry` names."""
        storage = entry.storage
        dtype = self._dtype(storage.items)
        content = self._read(f"data/{storage.key}", storage.length * dtype.itemsize)
        reach = sum((n - 1) * stride for n, stride in zip(entry.shape, entry.strides, strict=True))
        if len(content) != storage.length * dtype.itemsize or entry.offset + reach >= storage.length:
            raise ArchiveInvalid(f"the storage {storage.key} is shorter than the tensor it holds")
        flat = np.frombuffer(content, dtype)[entry.offset :]
        strides = [stride * dtype.itemsize for stride in entry.strides]
        view = np.lib.stride_tricks.as_strided(flat, entry.shape, strides, writeable=False)
        return view.astype(dtype.newbyteorder("="))

    def _dtype(self, items: str) -> np.dtype[np.generic]:
        """Items as they lie in the file: little-endian, unless the file (since PyTorch 2.1) says otherwise."""
        big = f"{self._folder}byteorder" in self._zip.namelist() and self._read("byteorder", 8) == b"big"
        return np.dtype(f"{'>' if big else '<'}{items}")

    def _read(self, name: str, largest: int) -> bytes:
        try:
            entry = self._zip.getinfo(f"{self._folder}{name}")
        except KeyError as fault:
            raise ArchiveInvalid(f"its part {name} is missing") from fault
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > largest:
            raise ArchiveInvalid(f"its part {name} is compressed or larger than it should be")
        try:
            return self._zip.read(entry)
        except _ZIP_FAULTS as fault:
            raise ArchiveInvalid(f"its part {name} is damaged") from fault
