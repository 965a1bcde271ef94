"""What a request body is turned into: the files of an upload, written as the bytes come.

Two forms, chosen by Content-Type: the body itself is one file (an archive, one image), or it is
multipart and each part is one. python-multipart's parser is used below its form layer, which refuses
more than 1,000 files and spools them to the temporary folder.
"""

from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised
from dras_service.store.incoming import Incoming

RAW_TYPES = (
    "application/zip",
    "application/x-zip-compressed",
    "application/x-tar",
    "application/gzip",
    "application/x-gzip",
    "application/dicom",
    "application/octet-stream",
)
MULTIPART_TYPES = ("multipart/form-data", "multipart/related")
_EMPTY_ZIP = b"PK\x05\x06"  # the end record comes first: no entry (APPNOTE 4.3.16)


class Body(Protocol):
    """Takes a body block by block and fills an Incoming with its files."""

    def feed(self, block: bytes) -> None:
        """Take the next block. Raises ProblemRaised, StorageFull."""

    def end(self) -> None:
        """Check that the body was complete. Raises ProblemRaised, StorageFull."""


def open_body(content_type: str | None, incoming: Incoming, *, max_files: int) -> Body:
    """Choose the form of the body. Raises ProblemRaised: UNSUPPORTED_MEDIA_TYPE, MALFORMED_UPLOAD."""
    kind, options = parse_options_header(content_type)
    media_type = kind.decode("latin-1")
    if media_type in RAW_TYPES:
        return RawBody(incoming)
    if media_type in MULTIPART_TYPES:
        every_part = media_type == "multipart/related"
        return MultipartBody(options.get(b"boundary"), incoming, every_part=every_part, max_files=max_files)
    raise ProblemRaised(ProblemCode.UNSUPPORTED_MEDIA_TYPE, allowed=", ".join((*RAW_TYPES, *MULTIPART_TYPES)))


class RawBody:
    """The body is one file."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def feed(self, block: bytes) -> None:
        """Append to the file."""
        if self._incoming.size_bytes == 0 and block.startswith(_EMPTY_ZIP):
            raise ProblemRaised(ProblemCode.EMPTY_UPLOAD)
        self._incoming.write(block)

    def end(self) -> None:
        """End the file."""
        self._incoming.end_file()


class MultipartBody:
    """Each part is a file: of a form those with a file name, of multipart/related all of them."""

    def __init__(
        self, boundary: bytes | None, incoming: Incoming, *, every_part: bool, max_files: int
    ) -> None:
        if not boundary:
            raise ProblemRaised(ProblemCode.MALFORMED_UPLOAD, fault="the boundary is not given")
        self._incoming = incoming
        self._every_part = every_part
        self._max_files = max_files
        self._n_parts = 0
        self._is_file = False
        self._is_complete = False
        self._header_name = b""
        self._header_value = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._read_header_name,
                    "on_header_value": self._read_header_value,
                    "on_header_end": self._end_header,
                    "on_part_data": self._read_part,
                    "on_part_end": self._end_part,
                    "on_end": self._complete,
                },
            )
        except FormParserError as error:
            raise ProblemRaised(ProblemCode.MALFORMED_UPLOAD, fault="the boundary is too long") from error

    def feed(self, block: bytes) -> None:
        """Parse a block and write what it holds of files."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            fault = "a part or its header is not well formed or too long"
            raise ProblemRaised(ProblemCode.MALFORMED_UPLOAD, fault=fault) from error

    def end(self) -> None:
        """Check that the closing boundary came."""
        if not self._is_complete:
            raise ProblemRaised(ProblemCode.MALFORMED_UPLOAD, fault="the closing boundary is missing")

    def _begin_part(self) -> None:
        self._n_parts += 1
        if self._n_parts > self._max_files:
            raise ProblemRaised(ProblemCode.TOO_MANY_FILES, limit_files=self._max_files)
        self._is_file = self._every_part

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._is_file = self._is_file or b"filename" in options
        self._header_name = self._header_value = b""

    def _read_part(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._incoming.write(data[start:end])

    def _end_part(self) -> None:
        self._incoming.end_file()

    def _complete(self) -> None:
        self._is_complete = True
