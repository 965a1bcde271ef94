"""DICOM attributes read without trust: whatever a header holds becomes a plain value or none.

An attribute is looked for level by level, so that one call serves a classic object and the functional
groups of an enhanced one (PS3.3 C.7.6.16): frame, shared, file. What the values mean is decided elsewhere.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Levels = Sequence[Dataset]
MOST_TEXT = 256  # characters of a value; a description or a kernel has at most 64 (PS3.5 6.2)


def first(levels: Levels, keyword: str) -> object:
    """Value of the first level that has the attribute, None where none has it."""
    for level in levels:
        if keyword in level:
            return level.get(keyword)
    return None


def values(value: object) -> tuple[str, ...]:
    """Return the parts of a value of any multiplicity as upper-case text."""
    parts = value if isinstance(value, MultiValue) else [value]
    return tuple(text(part).upper() for part in parts)


def text(value: object) -> str:
    """A value as one printable line without padding, empty where there is none."""
    found = "" if value is None else str(value).strip().strip("\0")
    return "".join(letter if letter.isprintable() else " " for letter in found[:MOST_TEXT])


def whole(value: object) -> int:
    """A value as a whole number, 0 where it is none or beyond reason."""
    found = number(value)
    return 0 if found is None or abs(found) > 1e12 else int(found)


def number(value: object) -> float | None:
    """A value as a finite number, or None."""
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def numbers(value: object, count: int) -> NDArray[np.float64] | None:
    """Return exactly `count` finite numbers (count,), or None."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        return None
    found = [part for part in map(number, value) if part is not None]
    return np.array(found, dtype=np.float64) if len(found) == count else None
