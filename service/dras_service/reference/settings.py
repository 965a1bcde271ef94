"""`docs/settings.md`, printed from the settings themselves: `python -m dras_service.reference.settings`."""

import sys
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dras_service.settings import Settings

_HEAD = """# Settings

Printed by `make docs` from `dras_service.settings`; edit the descriptions there. Every setting is a variable of the
environment. Lists and tables are written as JSON. `dras doctor` points out names that nothing reads.
"""
_DESCRIBED = {
    "data": "one folder for everything that has no other place",
    "log_level": "WARNING, INFO or DEBUG",
}


def reference() -> str:
    """Return the document."""
    top = [(name, field) for name, field in Settings.model_fields.items() if _topic(field) is None]
    lines = [_HEAD, "| variable | default | |", "|---|---|---|"]
    lines += [_row(f"DRAS_{name.upper()}", field, _DESCRIBED.get(name, "")) for name, field in top]
    for name, field in Settings.model_fields.items():
        topic = _topic(field)
        if topic is not None:
            lines += list(_section(f"DRAS_{name.upper()}", name, topic))
    return "\n".join(lines) + "\n"


def _section(prefix: str, title: str, topic: type[BaseModel]) -> Iterator[str]:
    yield f"\n## {title}\n\n{(topic.__doc__ or '').strip()}\n\n| variable | default | |\n|---|---|---|"
    inner = []
    for name, field in topic.model_fields.items():
        below = _topic(field)
        if below is None:
            yield _row(f"{prefix}__{name.upper()}", field, field.description or "")
        else:
            inner.append((f"{prefix}__{name.upper()}", f"{title}: {name}", below))
    for part in inner:
        yield from _section(*part)


def _topic(field: FieldInfo) -> type[BaseModel] | None:
    """Return the settings that a field holds, None where it holds a value."""
    kinds: tuple[Any, ...] = (field.annotation,)
    if get_origin(field.annotation) in (Union, types.UnionType):
        kinds = get_args(field.annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _row(variable: str, field: FieldInfo, description: str) -> str:
    return f"| `{variable}` | {_default(field)} | {description.replace('|', '/')} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's data folder"
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, (), {}, ""):
        return ""
    return f"`{field.default}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
