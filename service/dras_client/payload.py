"""What is sent: one file as it is, or many as a form, block by block so that memory stays flat.

Names of files are never sent; a name may hold a patient's.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from dras_client.errors import SourceUnreadable

Source: TypeAlias = str | Path | bytes | Sequence[str | Path]
Progress: TypeAlias = Callable[[int, int], None]

_BLOCK = 1 << 18
_PART_HEAD = (
    b"--%s\r\n"
    b'Content-Disposition: form-data; name="file"; filename="%06d"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)


class Payload(Protocol):
    """A body of known size that can be sent more than once."""

    content_type: str
    size_bytes: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the body. Raises SourceUnreadable."""


def open_payload(source: Source) -> Payload:
    """Choose the form of the body: bytes and a single file as they are, a folder or a list as a form.

    A folder is taken with everything below it. Raises SourceUnreadable.
    """
    if isinstance(source, bytes):
        if not source:
            raise SourceUnreadable("There is nothing to send: zero bytes.")
        return BytesPayload(source)
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise SourceUnreadable(f"There is no file or folder at {path}.")
        files = _files_below(path) if path.is_dir() else [path]
    else:
        files = [Path(item) for item in source]
    if not files:
        raise SourceUnreadable("There is nothing to send: the folder or list holds no file.")
    return FilePayload(files[0]) if len(files) == 1 else FormPayload(files)


class BytesPayload:
    """Bytes in memory, sent as they are."""

    content_type = "application/octet-stream"

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size_bytes = len(content)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        for start in range(0, self.size_bytes, _BLOCK):
            yield self._content[start : start + _BLOCK]


class FilePayload:
    """One file, sent as it is."""

    content_type = "application/octet-stream"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size_bytes = _size_of(path)
        if self.size_bytes == 0:
            raise SourceUnreadable(f"There is nothing to send: {path} is empty.")

    def blocks(self) -> Iterator[bytes]:
        """Yield the file."""
        return _blocks_of(self._path, self.size_bytes)


class FormPayload:
    """Many files, sent as multipart/form-data (RFC 7578) under numbers."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._boundary = uuid.uuid4().hex.encode()
        self._parts = [(path, _size_of(path)) for path in paths]
        self.content_type = f"multipart/form-data; boundary={self._boundary.decode()}"
        frames = sum(len(self._head(number)) + 2 for number in range(1, len(self._parts) + 1))
        self.size_bytes = frames + sum(size for _, size in self._parts) + len(self._tail())

    def blocks(self) -> Iterator[bytes]:
        """Yield the form."""
        for number, (path, size_bytes) in enumerate(self._parts, start=1):
            yield self._head(number)
            yield from _blocks_of(path, size_bytes)
            yield b"\r\n"
        yield self._tail()

    def _head(self, number: int) -> bytes:
        return _PART_HEAD % (self._boundary, number)

    def _tail(self) -> bytes:
        return b"--%s--\r\n" % self._boundary


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read.") from error


def _blocks_of(path: Path, size_bytes: int) -> Iterator[bytes]:
    """Yield a file that must have the size it had when the body was announced."""
    left = size_bytes
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    break
                yield block
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read.") from error
    if left != 0:
        raise SourceUnreadable(f"{path} changed while it was sent.")
