"""Reads what PyTorch pickles around its tensors, without PyTorch and without running anything.

A pickle is a program. This one may name a handful of things: an ordered dictionary, a tensor, a parameter, a
storage type and a storage; anything else stops the reading. Where the numbers of a storage lie in the file is
the business of `torch_archive` (since PyTorch 1.6) and `torch_stream` (before).
"""

import pickle
from collections import OrderedDict
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BRAIN_FLOAT = "bf"  # the upper half of a float32; NumPy has no such type
_ITEMS = {
    "BFloat16Storage": _BRAIN_FLOAT,
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
LARGEST_PICKLE = 64 * 2**20  # bytes; names, shapes and settings, no numbers
# What `pickle` raises on bytes that were made to break it.
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
class Storage(NamedTuple):
    """A run of items of one type, known by its key in the file."""

    key: str
    items: str  # NumPy's code of one item, without byte order; `bf` for a brain float
    length: int

    @property
    def item_size(self) -> int:
        """Bytes of one item."""
        return 2 if self.items == _BRAIN_FLOAT else np.dtype(self.items).itemsize


class TensorEntry(NamedTuple):
    """Where a tensor lies: `offset` and `strides` count items of its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_floating(self) -> bool:
        """Whether the items are floating-point numbers."""
        return self.storage.items == _BRAIN_FLOAT or self.storage.items.startswith("f")


class _StorageType(NamedTuple):
    items: str


class _RebuildTensor:
    """Stands for `torch._utils._rebuild_tensor_v2`, and for the form before PyTorch 0.4."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, strides: object, *_: object) -> object:
        if (
            isinstance(storage, Storage)
            and isinstance(shape, tuple)
            and isinstance(strides, tuple)
            and isinstance(offset, int)
            and len(shape) == len(strides)
            and all(type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *strides))
        ):
            return TensorEntry(storage, offset, shape, strides)
        raise pickle.UnpicklingError("a tensor is not described as PyTorch does")


class _RebuildParameter:
    """Stands for `torch._utils._rebuild_parameter`: a parameter is its tensor."""

    __slots__ = ()

    def __call__(self, tensor: object, *_: object) -> object:
        if isinstance(tensor, TensorEntry):
            return tensor
        raise pickle.UnpicklingError("a parameter is not described as PyTorch does")


class _Reader(pickle.Unpickler):
    """An unpickler that can make containers, numbers, texts and `TensorEntry`, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in {"_rebuild_tensor_v2", "_rebuild_tensor"}:
            return _RebuildTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module == "torch" and name in _ITEMS:
            return _StorageType(_ITEMS[name])
        named = ascii(f"{module}.{name}")[1:-1]  # no line breaks or control characters in the sentence
        raise pickle.UnpicklingError(f"it names {named:.80}, which is not needed to hold tensors")

    def persistent_load(self, pid: object) -> Storage:
        # The stream's form has a sixth entry, a view into another storage, which nothing since 0.4 writes.
        match pid:
            case ("storage", _StorageType(items), str(key), str(), int(length), *rest) if (
                length >= 0 and rest in ([], [None])
            ):
                return Storage(key, items, length)
        raise pickle.UnpicklingError("a storage is not described as PyTorch does")


def load_pickle(stream: IO[bytes]) -> object:
    """Read one pickle, with a `TensorEntry` for each tensor. Raises ArchiveInvalid."""
    try:
        saved: object = _Reader(stream).load()
    except ArchiveInvalid:  # of the stream itself
        raise
    except pickle.UnpicklingError as fault:
        raise ArchiveInvalid(f"its pickle is refused: {fault}") from fault
    except _PICKLE_FAULTS as fault:
        raise ArchiveInvalid(f"its pickle is malformed ({type(fault).__name__})") from fault
    return saved


def tensor(entry: TensorEntry, content: bytes, *, byte_order: str) -> NDArray[np.generic]:
    """Return a copy of one tensor from the bytes of its storage; brain floats become float32.

    `byte_order` is NumPy's sign of it. Raises ArchiveInvalid where the tensor reaches beyond the storage.
    """
    storage = entry.storage
    brain = storage.items == _BRAIN_FLOAT
    dtype = np.dtype(f"{byte_order}{'u2' if brain else storage.items}")
    reach = sum((n - 1) * stride for n, stride in zip(entry.shape, entry.strides, strict=True))
    if len(content) != storage.length * dtype.itemsize or entry.offset + reach >= storage.length:
        raise ArchiveInvalid(f"the storage {storage.key} is shorter than the tensor it holds")
    flat = np.frombuffer(content, dtype)[entry.offset :]
    strides = [stride * dtype.itemsize for stride in entry.strides]
    view = np.lib.stride_tricks.as_strided(flat, entry.shape, strides, writeable=False)
    array: NDArray[np.generic] = view.astype(dtype.newbyteorder("="))
    return (array.astype(np.uint32) << 16).view(np.float32) if brain else array
