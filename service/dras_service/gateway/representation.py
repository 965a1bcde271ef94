"""What a client gets of a file: all of it, a part, or the news that it has it already.

Conditions, ranges and digests of RFC 9110 (13.1.2, 13.1.5, 14) and RFC 9530 over bytes whose SHA-256 is known,
so that the validator is strong. One range is served; of several the whole file is, as 14.2 allows.
"""

import base64
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import Problem, ProblemCode
from dras_service.gateway.problems import problem_answer

_BLOCK = 1 << 18
_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))")
_UNSATISFIABLE = range(-1)

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes that never change, described."""

    media_type: str
    size_bytes: int
    sha256: str
    name: str | None = None  # of a file to save

    def headers(self) -> dict[str, str]:
        """Return what describes the bytes."""
        digest = base64.b64encode(bytes.fromhex(self.sha256)).decode()
        headers = {
            "ETag": self.etag,
            "Repr-Digest": f"sha-256=:{digest}:",
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",  # kept, but asked for again: it may be purged
            "X-Content-Type-Options": "nosniff",
        }
        if self.name is not None:
            # To be saved. Where it is shown all the same, no script of it runs, and it is of no origin.
            headers["Content-Security-Policy"] = (
                "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
            )
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(self.name, safe='')}"
        return headers

    @property
    def etag(self) -> str:
        """The strong validator."""
        return f'"{self.sha256}"'


def answer(request: Request, shown: Representation, *, opened: Opener) -> Response:
    """Answer a GET or HEAD; `opened` gives a seekable file, and is called only where bytes are sent."""
    headers = shown.headers()
    if _is_known(request.headers.get("if-none-match"), shown.etag):
        return Response(status_code=304, headers=headers)
    # A range is defined for GET alone (14.2).
    wanted = _wanted(request.headers, shown) if request.method == "GET" else None
    if wanted is _UNSATISFIABLE:
        problem = Problem.of(ProblemCode.RANGE_NOT_SATISFIABLE, {"size_bytes": shown.size_bytes})
        return problem_answer(problem, {"Content-Range": f"bytes */{shown.size_bytes}"})
    status, part = (200, range(shown.size_bytes)) if wanted is None else (206, wanted)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {part[0]}-{part[-1]}/{shown.size_bytes}"
    headers["Content-Length"] = str(len(part))
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=shown.media_type)
    return StreamingResponse(
        _blocks(opened, part), status_code=status, headers=headers, media_type=shown.media_type
    )


def _is_known(condition: str | None, etag: str) -> bool:
    """Whether If-None-Match names the validator; compared weakly (13.1.2)."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return "*" in tags or etag in tags


def _wanted(headers: Mapping[str, str], shown: Representation) -> range | None:
    """Return the part that is asked for; None for the whole, `_UNSATISFIABLE` where there is no such part."""
    match = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    # If-Range compares strongly (13.1.5); a date never matches, as no Last-Modified is sent.
    if match is None or headers.get("if-range", shown.etag) != shown.etag:
        return None
    first, last, suffix = match.groups()
    size = shown.size_bytes
    if suffix is not None:
        return range(max(0, size - int(suffix)), size) if int(suffix) and size else _UNSATISFIABLE
    if last and int(last) < int(first):
        return None  # not a valid range: ignored (14.1.1)
    if int(first) >= size:
        return _UNSATISFIABLE
    return range(int(first), min(size, int(last) + 1) if last else size)


async def _blocks(opened: Opener, part: range) -> AsyncIterator[bytes]:
    with opened() as file:
        if part and part[0]:
            await run_in_threadpool(file.seek, part[0])
        left = len(part)
        while left and (block := await run_in_threadpool(file.read, min(left, _BLOCK))):
            left -= len(block)
            yield block
