"""Reads `result.json` of any version of this schema's major number; every fault of it is told by place and reason.

A field that a newer minor version has added is left out; what it cannot do without, such as a code that this
version does not know, refuses it (decision 0028).
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dras_model.outputs.names import RESULT
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import SCHEMA_VERSION, StudyResult

MOST_RESULT_BYTES = 64 << 20
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


def read_result(path: Path) -> StudyResult:
    """Read the result in a folder of `dras extract`, or its `result.json` alone.

    Raises StudyRefused: NOT_FOUND, RESULT_INVALID, RESULT_VERSION.
    """
    content = _document(path)
    found = content.get("schema_version")
    if found is None or "provenance" not in content or content.get("kind") is not None:
        raise invalid(path, "it is another document")
    newer = _is_newer(path, str(found))
    try:
        return StudyResult.model_validate(content, extra="ignore" if newer else "forbid")
    except ValidationError as fault:
        if newer:
            raise _version(path, str(found)) from fault
        where = ".".join(map(str, fault.errors()[0]["loc"]))
        raise invalid(path, f"{where} is not what the schema says") from fault


def invalid(path: Path, reason: str) -> StudyRefused:
    """Return the refusal of a result, or of one of its files, that cannot be used."""
    return StudyRefused(Code.RESULT_INVALID, path=str(path), reason=reason)


def _document(path: Path) -> dict[str, Any]:
    try:
        file = path / RESULT if path.is_dir() else path
        if not file.is_file():
            if path.exists():
                raise invalid(path, f"there is no {RESULT}")
            raise StudyRefused(Code.NOT_FOUND, path=str(path))
        if file.stat().st_size > MOST_RESULT_BYTES:
            raise invalid(path, "it is too large")
        content = json.loads(file.read_bytes())
    except OSError as fault:
        raise invalid(path, "it cannot be read") from fault
    except (ValueError, RecursionError) as fault:
        raise invalid(path, "it is no JSON") from fault
    if not isinstance(content, dict):
        raise invalid(path, "it is another document")
    return content


def _is_newer(path: Path, found: str) -> bool:
    """Whether a newer minor version wrote it. Raises StudyRefused RESULT_VERSION for another major one."""
    version, own = _VERSION.fullmatch(found), _VERSION.fullmatch(SCHEMA_VERSION)
    if version is None or own is None or version[1] != own[1]:
        raise _version(path, found)
    return int(version[2]) > int(own[2])


def _version(path: Path, found: str) -> StudyRefused:
    return StudyRefused(Code.RESULT_VERSION, path=str(path), found=found, expected=SCHEMA_VERSION)
