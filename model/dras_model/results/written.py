"""What a person wrote in TOML, read as a model, and what is wrong with it: one clause a fault, naming the key.

Leaves out which code a file is refused with: that is whose file it is.
"""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

_Model = TypeVar("_Model", bound=BaseModel)


class Unreadable(ValueError):
    """Something written cannot be used; the text is the first of `faults`, which end without a full stop."""

    def __init__(self, *faults: str) -> None:
        super().__init__(faults[0])
        self.faults = faults


def read_toml(path: Path, model: type[_Model], *, context: dict[str, Any] | None = None) -> _Model:
    """Read a file. Raises Unreadable."""
    try:
        content = path.read_text("utf-8")
    except OSError as fault:
        raise Unreadable(f"it cannot be read ({fault.strerror or type(fault).__name__})") from fault
    except UnicodeDecodeError as fault:
        raise Unreadable("it is no text") from fault
    return parse_toml(content, model, context=context)


def parse_toml(content: str, model: type[_Model], *, context: dict[str, Any] | None = None) -> _Model:
    """Read a text. Raises Unreadable."""
    try:
        return model.model_validate(tomllib.loads(content), context=context)
    except tomllib.TOMLDecodeError as fault:
        raise Unreadable(f"it is no TOML: {fault}") from fault
    except ValidationError as fault:
        raise Unreadable(*faults_of(fault)) from fault


def faults_of(error: ValidationError) -> list[str]:
    """Return what is wrong with each key, without the values that were given."""
    return [_told(fault) for fault in error.errors(include_input=False, include_url=False)]


def _told(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    said = fault["msg"].removeprefix("Value error, ")
    said = "there is no such key" if fault["type"] == "extra_forbidden" else said
    return f"{where}: {said}" if where else said
