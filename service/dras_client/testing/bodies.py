"""What an upload to the fake service holds, told apart as the service does: by content, whatever the order."""

import hashlib
from collections.abc import Iterator

import httpx2


def digest_of(request: httpx2.Request) -> str | None:
    """Return what tells one study from another; None where nothing was sent."""
    files = [content for content in _files(request) if content]
    if not files:
        return None
    digests = sorted(hashlib.sha256(content).digest() for content in files)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _files(request: httpx2.Request) -> Iterator[bytes]:
    media_type, _, boundary = request.headers.get("content-type", "").partition("; boundary=")
    if media_type != "multipart/form-data":
        yield request.content
        return
    for part in request.content.split(f"--{boundary}".encode())[1:-1]:
        yield part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
