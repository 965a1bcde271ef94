"""Objects by STOW-RS: one request with a part an object, streamed from the disk (PS3.18 10.5)."""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from dras_service.pacs.configuration import MEGABYTE, Peer
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.web import Web, check_status, read_bounded

_BLOCK = 1 << 18
_SOME_FAILED, _NONE_KEPT = 202, 409


def send_by_stow(peer: Peer, files: Sequence[Path]) -> None:
    """Send files. Raises PeerFailed where not all are taken."""
    boundary = uuid.uuid4().hex
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    web = Web(peer)
    try:
        with web.answer("POST", "/studies", headers=headers, content=_body(files, boundary)) as answer:
            # 202 also tells of warnings: which of the two it is, the failed list says (10.5.3).
            told = read_bounded(answer, most_bytes=MEGABYTE)
            if answer.status_code == _NONE_KEPT or (
                answer.status_code == _SOME_FAILED and b"00081198" in told
            ):
                raise PeerFailed("The system did not take all of the objects.", may_pass=False)
            check_status(answer)
    finally:
        web.close()


def _body(files: Sequence[Path], boundary: str) -> Iterator[bytes]:
    for path in files:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
