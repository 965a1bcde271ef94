"""An upload while it arrives: files under numbers, hashed as they are written.

Names that a client sends never reach the disk. Leaves out where the upload is kept: `blobs`.
"""

import hashlib
import os
import shutil
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from dras_service.store.errors import translated
from dras_service.store.rows import StoredStudy

_NIFTI_HEAD = 348  # bytes, up to and with the magic of NIfTI-1
_CHUNK = 1 << 20
_PACKED_HEAD = 4096  # bytes of gzip that surely inflate to that many


class Incoming:
    """A folder that takes files one after the other. Raises StorageFull where the disk is full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._digests: list[bytes] = []
        self.size_bytes = 0

    def __enter__(self) -> "Incoming":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk says so again, and the file goes away anyhow
                self._file.close()

    @property
    def n_files(self) -> int:
        """How many files with content have arrived."""
        return len(self._digests)

    def write(self, data: bytes) -> None:
        """Append to the file that is arriving; the first bytes begin one."""
        if not data:
            return
        with translated():
            if self._file is None:
                self._file = (self._folder / f"{self.n_files + 1:06d}.dcm").open("xb")
                self._digest = hashlib.sha256()
            self._file.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)

    def end_file(self) -> None:
        """Close the file that is arriving and see it to the disk; an empty one never was."""
        if self._file is None:
            return
        with translated():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        self._file = None
        self._digests.append(self._digest.digest())

    def adopt(self, path: Path) -> None:
        """Take a whole file over as it lies, by a second name where that can be; the same content counts once."""
        digest = hashlib.sha256()
        size_bytes = 0
        with translated(), path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size_bytes += len(chunk)
            if digest.digest() in self._digests or size_bytes == 0:
                return
            target = self._folder / f"{self.n_files + 1:06d}.dcm"
            try:
                os.link(path, target)
            except OSError:  # on another disk
                shutil.copyfile(path, target)
            with target.open("rb") as adopted:
                os.fsync(adopted.fileno())
        self._digests.append(digest.digest())
        self.size_bytes += size_bytes

    def seal(self, tenant: str) -> tuple[Path, StoredStudy]:
        """End the upload: what to rename, and what it will be known as.

        One file is kept as it is. Several are a folder, addressed by the sorted hashes of its files:
        the same images in another order are the same study. The tenant is in front: what two tenants send
        is two studies, so that neither can learn of the other's.
        """
        self.end_file()
        if self.n_files == 1:
            arrived = self._folder / "000001.dcm"
            sha256 = self._digests[0].hex()
            suffix = _nifti_suffix(arrived)
        else:
            sync_folder(self._folder)
            arrived = self._folder
            sha256 = hashlib.sha256(b"".join(sorted(self._digests))).hexdigest()
            suffix = ".files"
        return arrived, StoredStudy(f"{tenant}/{sha256}{suffix}", sha256, self.size_bytes, self.n_files)


def sync_folder(folder: Path) -> None:
    """See a folder's entries to the disk, so that a rename outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nifti_suffix(path: Path) -> str:
    """Return the suffix NIfTI readers go by, where the content is NIfTI (nifti1.h, nifti2.h: magic)."""
    with path.open("rb") as file:
        head = file.read(_PACKED_HEAD)
    suffix = ".nii"
    if head.startswith(b"\x1f\x8b"):
        suffix = ".nii.gz"
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, _NIFTI_HEAD)
        except zlib.error:
            return ""
    is_nifti = head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"
    return suffix if is_nifti else ""
