"""What a search for results asks (PS3.18 8.3.4): filters by keyword or tag, matched as PS3.4 C.2.2.2 has it.

A filter that cannot be answered is refused rather than passed over: who filters by a patient must not be shown
everybody's. Of patients nothing is asked, as every proxy writes addresses down (decision 0080).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from starlette.datastructures import QueryParams

from dras_service.api.problems import InvalidField
from dras_service.gateway.dicomweb.datasets import ATTRIBUTES
from dras_service.gateway.dicomweb.results import Instance, Results
from dras_service.gateway.problems import InvalidParameters
from dras_service.header import is_uid

MOST_READ = 1000  # studies whose objects one search reads
_OTHERS = frozenset({"limit", "offset", "includefield", "fuzzymatching"})  # of a search, no filters
_STUDY, _MODALITIES = "StudyInstanceUID", "ModalitiesInStudy"
_PATTERN = re.compile(r"[A-Z0-9_ *?]{1,16}")
_RANGE = re.compile(r"(\d{8})?(-)?(\d{8})?")

_Fits = Callable[[str], bool]
_UIDS: Mapping[str, Callable[[Instance], str]] = {
    "SeriesInstanceUID": lambda instance: instance.series_uid,
    "SOPInstanceUID": lambda instance: instance.instance_uid,
    "SOPClassUID": lambda instance: instance.sop_class,
}
_KEYWORD_OF = {
    ATTRIBUTES[keyword][0]: keyword for keyword in (_STUDY, _MODALITIES, "StudyDate", "Modality", *_UIDS)
}


@dataclass(frozen=True, slots=True)
class Search:
    """Which objects are looked for: of `study_uids`, where any are named, those that meet every condition."""

    study_uids: tuple[str, ...]
    in_study: tuple[_Fits, ...]  # each met by the modality of any object of the study
    of_object: tuple[Callable[[Instance], bool], ...]

    @property
    def is_open(self) -> bool:
        """Whether every study with an object is found."""
        return not (self.study_uids or self.in_study or self.of_object)

    def within(self, found: list[Instance]) -> list[Instance]:
        """Return those of a study's objects that are looked for."""
        if not all(any(fits(each.modality) for each in found) for fits in self.in_study):
            return []
        return [each for each in found if all(fits(each) for fits in self.of_object)]


def search_of(parameters: QueryParams) -> Search:
    """Read the filters of an address. Raises InvalidParameters, which repeats nothing that was sent."""
    asked: dict[str, str] = {}
    for name, value in parameters.multi_items():
        if name in _OTHERS:
            continue
        keyword = _KEYWORD_OF.get(name.upper(), name)
        if keyword not in _KEYWORD_OF.values():
            raise InvalidParameters(InvalidField(field="query", rule="filter_not_supported"))
        if keyword in asked:
            raise _invalid(keyword, "repeated")
        asked[keyword] = value
    chosen = {keyword: value for keyword, value in asked.items() if value}  # an empty one matches all
    uids = {keyword: _uids(keyword, value) for keyword, value in chosen.items() if keyword.endswith("UID")}
    conditions = [_among(_UIDS[keyword], listed) for keyword, listed in uids.items() if keyword in _UIDS]
    if "Modality" in chosen:
        modality = _like("Modality", chosen["Modality"])
        conditions.append(lambda instance: modality(instance.modality))
    if "StudyDate" in chosen:
        date = _between("StudyDate", chosen["StudyDate"])
        conditions.append(lambda instance: date(instance.study_date))
    in_study = (_like(_MODALITIES, chosen[_MODALITIES]),) if _MODALITIES in chosen else ()
    return Search(uids.get(_STUDY, ()), in_study, tuple(conditions))


def studies_found(
    results: Results, search: Search, *, tenant: str, limit: int, offset: int
) -> Iterator[list[Instance]]:
    """Yield a page of the studies in which something is found, each with all its objects.

    Raises InvalidParameters where too many would have to be read.
    """
    if search.is_open:
        for uid in results.studies(tenant=tenant, limit=limit, offset=offset):
            if there := results.instances(uid, tenant=tenant):
                yield there
        return
    for there, _ in islice(_matching(results, search, tenant=tenant), offset, offset + limit):
        yield there


def series_found(
    results: Results, search: Search, *, tenant: str, within: str | None = None
) -> Iterator[list[Instance]]:
    """Yield the series in which something is found, each with all its objects, of one study or of any."""
    for there, found in _matching(results, search, tenant=tenant, within=within):
        for series_uid in dict.fromkeys(each.series_uid for each in found):
            yield [each for each in there if each.series_uid == series_uid]


def objects_found(
    results: Results, search: Search, *, tenant: str, within: str | None = None
) -> Iterator[Instance]:
    """Yield the objects that are found, of one study or of any."""
    for _, found in _matching(results, search, tenant=tenant, within=within):
        yield from found


def _matching(
    results: Results, search: Search, *, tenant: str, within: str | None = None
) -> Iterator[tuple[list[Instance], list[Instance]]]:
    """Yield all objects of a study, and those that are found; the latest study first, read when it is asked for."""
    uids: Iterable[str] = search.study_uids or results.every_study(tenant=tenant)
    if within is not None:
        uids = [within] if within in (search.study_uids or (within,)) else ()
    for number, uid in enumerate(uids):
        if number == MOST_READ:
            raise InvalidParameters(InvalidField(field="query", rule="search_too_broad"))
        there = results.instances(uid, tenant=tenant)
        if found := search.within(there):
            yield there, found


def _uids(keyword: str, value: str) -> tuple[str, ...]:
    """Return a list of UIDs (C.2.2.2.2), which clients part by a comma or a backslash."""
    listed = tuple(dict.fromkeys(re.split(r"[,\\]", value)))
    if not all(map(is_uid, listed)):
        raise _invalid(keyword, "uid")
    return listed


def _among(value_of: Callable[[Instance], str], listed: tuple[str, ...]) -> Callable[[Instance], bool]:
    return lambda instance: value_of(instance) in listed


def _like(keyword: str, value: str) -> _Fits:
    """Return what matches a code, * and ? standing for anything (C.2.2.2.4); a list means any of it."""
    patterns = re.split(r"[,\\]", value)
    if not all(map(_PATTERN.fullmatch, patterns)):
        raise _invalid(keyword, "code")
    return lambda text: any(fnmatchcase(text, pattern) for pattern in patterns)


def _between(keyword: str, value: str) -> _Fits:
    """Return what matches a day or a range of days, its ends included (C.2.2.2.5)."""
    parts = _RANGE.fullmatch(value)
    if parts is None or not (parts[1] or parts[3]) or (parts[3] and not parts[2]):
        raise _invalid(keyword, "date")
    first, last = parts[1] or "", parts[3] or ("99999999" if parts[2] else parts[1])
    return lambda text: bool(text) and first <= text <= last


def _invalid(keyword: str, rule: str) -> InvalidParameters:
    return InvalidParameters(InvalidField(field=f"query.{keyword}", rule=rule))
