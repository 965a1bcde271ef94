"""Opens a file of `torch.save` for its tensors: the zip archive of PyTorch 1.6 and later, or the stream before.

Tensors are read when asked for, so a queue of a gigabyte costs nothing. What the pickles may hold is said in
`torch_pickle`; the stream is read by `torch_stream`.
"""

import io
import zipfile
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.torch_pickle import LARGEST_PICKLE, ArchiveInvalid, TensorEntry, load_pickle, tensor
from dras_model.encoder.torch_stream import TorchStream

_ZIP_MAGIC = b"PK\x03\x04"
# What `zipfile` raises on bytes that were made to break it.
_ZIP_FAULTS = (zipfile.BadZipFile, OSError, ValueError, LookupError, EOFError, RuntimeError)


def open_archive(path: Path) -> "TorchArchive | TorchStream":
    """Open a file in whichever of the two forms it has. Raises ArchiveInvalid, OSError."""
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    return TorchArchive(path) if is_zip else TorchStream(path)


class TorchArchive:
    """An open archive: `root` is what was saved, with a `TensorEntry` for each tensor."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except _ZIP_FAULTS as fault:
            raise ArchiveInvalid(
                "it is a zip archive that ends early or is damaged; copy it again"
            ) from fault
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
        return load_pickle(io.BytesIO(self._read("data.pkl", LARGEST_PICKLE)))

    def array(self, entry: TensorEntry) -> NDArray[np.generic]:
        """Read one tensor, as a copy of the shape that `entry` names."""
        storage = entry.storage
        content = self._read(f"data/{storage.key}", storage.length * storage.item_size)
        return tensor(entry, content, byte_order=self._byte_order())

    def _byte_order(self) -> str:
        """Items are little-endian, unless the file (since PyTorch 2.1) says otherwise."""
        big = f"{self._folder}byteorder" in self._zip.namelist() and self._read("byteorder", 8) == b"big"
        return ">" if big else "<"

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
