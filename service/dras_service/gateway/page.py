"""The page for people: its files, as they lie in `web`, under a policy that lets nothing else in.

Which files there are is found once, when the gateway is made: what a browser asks for never becomes a path. They
need no key, as they hold nothing; everything that the page shows it asks of `/v1` with the key of who looks.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from dras_model.outputs.report.wording import name_of, title_of
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.study import Region
from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised
from dras_service.gateway.representation import Representation, answer

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
# `data:` is what the viewer's own font and lookup tables are; none of them can run.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "worker-src 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types dras",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",  # for browsers that do not know `frame-ancestors`
}
_INDEX, _WORDS, _WORKER = "index.html", "words.js", "upload/worker.js"


@dataclass(frozen=True, slots=True)
class _File:
    shown: Representation
    content: bytes


def page_router() -> APIRouter:
    """Make the routes of the page: `/`, and `/page/…` for what it loads."""
    router = APIRouter(include_in_schema=False)
    known = dict(_walk(files("dras_service.gateway") / "web")) | {_WORDS: _file(_words(), ".js")}
    known[_INDEX] = _file(_asking_at_once(known), ".html")

    @router.api_route("/", methods=["GET", "HEAD"])
    def index(request: Request) -> Response:
        return _answer(request, known[_INDEX])

    @router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
    def file(name: str, request: Request) -> Response:
        if name not in known or name == _INDEX:
            raise ProblemRaised(ProblemCode.NOT_FOUND)
        return _answer(request, known[name])

    return router


def _answer(request: Request, file: _File) -> Response:
    answered = answer(request, file.shown, opened=lambda: io.BytesIO(file.content))
    answered.headers.update(HEADERS)
    return answered


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, _File]]:
    """Return every file of a kind that is served, by its path below the folder."""
    found: list[tuple[str, _File]] = []
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif suffix in _MEDIA_TYPES:
            found.append((prefix + entry.name, _file(entry.read_bytes(), suffix)))
    return found


def _file(content: bytes, suffix: str) -> _File:
    digest = hashlib.sha256(content).hexdigest()
    return _File(Representation(_MEDIA_TYPES[suffix], len(content), digest), content)


def _asking_at_once(known: dict[str, _File]) -> bytes:
    """Return the index with a link to each module: asked for together, not each when what imports it was read.

    Left out are the foreign file, of no use to whoever signs in or looks at the list, and what a worker runs.
    """
    modules = sorted(
        name for name in known if name.endswith(".js") and not name.startswith("vendor/") and name != _WORKER
    )
    links = "".join(f'    <link rel="modulepreload" href="/page/{name}">\n' for name in modules)
    head, rest = known[_INDEX].content.decode().split("  </head>", 1)
    return f"{head}{links}  </head>{rest}".encode()


def _words() -> bytes:
    """Return the report's words as a module of the page: one thing has one name wherever it is read."""
    told = {
        "TITLES": {code.value: title_of(code) for code in Code if CODES[code].kind is Kind.WARNING},
        "REGIONS": {region.value: name_of(region) for region in Region},
    }
    return "".join(f"export const {name} = {json.dumps(words)};\n" for name, words in told.items()).encode()
