"""Filters in the address of a DICOMweb search (PS3.18 8.3.4) and how values meet them (PS3.4 C.2.2.2).

A filter that cannot be answered is refused rather than passed over: who filters by a patient must not be shown
everybody's. Nothing that was sent is repeated.
"""

import re
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import TypeAlias

from starlette.datastructures import QueryParams

from dras_service.api.problems import InvalidField
from dras_service.gateway.dicomweb.datasets import ATTRIBUTES
from dras_service.gateway.problems import InvalidParameters
from dras_service.header import is_uid

_OTHERS = frozenset({"limit", "offset", "includefield", "fuzzymatching"})  # of a search, no filters
_LISTED = re.compile(r"[,\\]")  # clients part a list by either
_CODE = re.compile(r"[A-Z0-9_ *?]{1,16}")
_TEXT = re.compile(r"[^\\\x00-\x1f]{1,64}")
_RANGE = re.compile(r"(\d{4,14})?(-)?(\d{4,14})?")

Fits: TypeAlias = Callable[[str], bool]


def filters_of(parameters: QueryParams, allowed: Collection[str]) -> dict[str, str]:
    """Return the filters of an address by keyword, `Sequence.Keyword` for one in an item.

    Empty ones match all and are left out. Raises InvalidParameters.
    """
    of_tags = {".".join(ATTRIBUTES[part][0] for part in name.split(".")): name for name in allowed}
    asked: dict[str, str] = {}
    for name, value in parameters.multi_items():
        if name in _OTHERS:
            continue
        keyword = of_tags.get(name.upper(), name)
        if keyword not in allowed:
            raise InvalidParameters(InvalidField(field="query", rule="filter_not_supported"))
        if keyword in asked:
            raise _invalid(keyword, "repeated")
        asked[keyword] = value
    return {keyword: value for keyword, value in asked.items() if value}


def uids(keyword: str, value: str) -> tuple[str, ...]:
    """Return a list of UIDs (C.2.2.2.2). Raises InvalidParameters."""
    listed = tuple(dict.fromkeys(_LISTED.split(value)))
    if not all(map(is_uid, listed)):
        raise _invalid(keyword, "uid")
    return listed


def code(keyword: str, value: str) -> Fits:
    """Return what any of a list of codes matches, * and ? standing for anything. Raises InvalidParameters."""
    patterns = _LISTED.split(value)
    if not all(map(_CODE.fullmatch, patterns)):
        raise _invalid(keyword, "code")
    return lambda found: any(fnmatchcase(found, pattern) for pattern in patterns)


def text(keyword: str, value: str) -> Fits:
    """Return what a text matches, * and ? standing for anything (C.2.2.2.4). Raises InvalidParameters."""
    if not _TEXT.fullmatch(value):
        raise _invalid(keyword, "text")
    pattern = value.replace("[", "[[]")
    return lambda found: fnmatchcase(found, pattern)


def moment(keyword: str, value: str) -> Fits:
    """Return what a date or time, or a range of them, matches, its ends included (C.2.2.2.5).

    As exact as it is written: 2026 means any moment of that year. Raises InvalidParameters.
    """
    parts = _RANGE.fullmatch(value)
    if parts is None or not (parts[1] or parts[3]) or (parts[3] and not parts[2]):
        raise _invalid(keyword, "date")
    first, last = parts[1] or "", parts[3] or ("9" if parts[2] else parts[1])
    return lambda found: bool(found) and first <= found and found[: len(last)] <= last


def too_broad() -> InvalidParameters:
    """Return the refusal of a search that would have to read too much."""
    return InvalidParameters(InvalidField(field="query", rule="search_too_broad"))


def _invalid(keyword: str, rule: str) -> InvalidParameters:
    return InvalidParameters(InvalidField(field=f"query.{keyword}", rule=rule))
