"""Reads the compose file as Compose does, variables included. After the specification's "Interpolation"."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


class Missing(Exception):
    """A variable that has to be set is not; the text is what Compose shows."""


def example() -> dict[str, str]:
    """What `.env.example` sets."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def interpolated(variables: Mapping[str, str]) -> dict:
    """Return the document with its variables filled in: in values, once YAML is read. Raises Missing."""

    def fill(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        if value := variables.get(found["name"]):
            return value
        if found["kind"] == "?":
            raise Missing(found["rest"])
        return found["rest"] or ""

    def walk(part: Any) -> Any:
        match part:
            case dict():
                return {name: walk(value) for name, value in part.items()}
            case list():
                return [walk(value) for value in part]
            case str():
                filled = _VARIABLE.sub(fill, part)
                # Compose casts what it fills in to the type that the field has.
                return int(filled) if filled != part and filled.isdigit() else filled
            case _:
                return part

    return walk(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def composed() -> dict:
    """Return the document with every secret set."""
    return interpolated({name: value or f"secret-of-{name.lower()}" for name, value in example().items()})
