"""`docs/http-reference.md`, printed from the gateway's own OpenAPI document.

Run as `python -m dras_service.reference.addresses`. What the parts mean together is told by `docs/http-api.md`;
DICOMweb is in the conformance statement, and is not in the document.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dras_service.gateway.app import create_app
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.store import Store

_HEAD = """# HTTP addresses

Printed by `make docs` from the OpenAPI document that a running service has at `/openapi.json`; edit the routes.
How the parts go together is told by [the HTTP interface](http-api.md), what an error's code means by
[codes](codes.md).
"""
_SHOWN = (
    "JobView",
    "ArtifactView",
    "NeighbourView",
    "Validation",
    "BundleView",
    "WebhookView",
    "Readiness",
    "Problem",
)
_Schema = Mapping[str, Any]


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of a gateway that is made for it, and never serves."""
    with tempfile.TemporaryDirectory(prefix="dras-reference-") as folder:
        settings = Settings(data=Path(folder))
        store = Store(open_engine(settings.store_url))
        blobs, hints = BlobStore(settings.blob_folder), Hints(create_celery(settings))
        described = create_app(store=store, blobs=blobs, hints=hints, settings=settings).openapi()
        store.close()
    return described


def reference() -> str:
    """Return the page."""
    described = document()
    schemas = described["components"]["schemas"]
    lines = [_HEAD]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if method != "head":
                lines += _operation(f"{method.upper()} {path}", operation, has_head="head" in operations)
    lines += ["## Documents", "", "The result is described by [its schema](schema/result-1.1.json).", ""]
    for name in _SHOWN:
        lines += _fields(name, schemas[name])
    return "\n".join(lines).rstrip() + "\n"


def _operation(name: str, operation: _Schema, *, has_head: bool) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    told = f" {_line(operation['description'])}" if "description" in operation else ""
    scopes = "" if "security" in operation else " Open to everybody."
    yield f"{operation['summary']}.{told}{scopes}{' HEAD is answered, too.' if has_head else ''}"
    yield ""
    if parameters := operation.get("parameters"):
        yield from ("| parameter | in | values | |", "|---|---|---|---|")
        yield from map(_parameter, parameters)
        yield ""
    if "requestBody" in operation:
        kinds = ", ".join(f"`{kind}`" for kind in operation["requestBody"]["content"])
        yield from (f"Body: {kinds}.", "")
    yield from ("| answer | |", "|---|---|")
    for status, answer in sorted(operation["responses"].items()):
        yield f"| {status} | {_answer(answer)} |"
    yield ""


def _parameter(parameter: _Schema) -> str:
    schema = parameter.get("schema") or {"type": "a JSON object"}
    needed = ", needed" if parameter.get("required") and parameter["in"] != "path" else ""
    told = parameter.get("description", "")
    return f"| `{parameter['name']}` | {parameter['in']}{needed} | {_kind(schema)} | {_line(told)} |"


def _answer(answer: _Schema) -> str:
    """Name what comes: the problems' codes where the answer is a problem, else its description and document."""
    content = answer.get("content", {})
    problem = content.get("application/problem+json", {})
    if "examples" in problem:
        return ", ".join(f"[`{code}`](codes.md#http)" for code in problem["examples"])
    names = [_name(media["schema"]) for media in content.values() if "$ref" in media.get("schema", {})]
    return f"{_line(answer['description'])}{f': `{names[0]}`' if names else ''}"


def _fields(name: str, schema: _Schema) -> Iterator[str]:
    yield from (
        f"### {name}",
        "",
        _line(schema.get("description", "")),
        "",
        "| field | values | |",
        "|---|---|---|",
    )
    for field, kind in schema["properties"].items():
        yield f"| `{field}` | {_kind(kind)} | {_line(kind.get('description', ''))} |"
    yield ""


def _kind(schema: _Schema) -> str:
    if "$ref" in schema:
        return f"`{_name(schema)}`"
    if kinds := schema.get("anyOf"):
        return " or ".join(_kind(kind) for kind in kinds)
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    kind = str(schema.get("format") or schema.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    default = f", default `{schema['default']}`" if "default" in schema else ""
    return f"{kind}{_range(schema)}{default}"


def _range(schema: _Schema) -> str:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if least is None and most is None:
        return ""
    return f" from {least} to {most}" if least is not None and most is not None else f" from {least} on"


def _name(schema: _Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


if __name__ == "__main__":
    sys.stdout.write(reference())
