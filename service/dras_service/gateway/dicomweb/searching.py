"""What a search for results asks: which studies, series or objects, by filters over all of them.

Of patients nothing is asked, as every proxy writes addresses down (decision 0080).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from starlette.datastructures import QueryParams

from dras_service.gateway.dicomweb import matching
from dras_service.gateway.dicomweb.matching import Fits
from dras_service.gateway.dicomweb.results import Instance, Results

MOST_READ = 1000  # studies whose objects one search reads
_STUDY, _MODALITIES = "StudyInstanceUID", "ModalitiesInStudy"
_UIDS: Mapping[str, Callable[[Instance], str]] = {
    "SeriesInstanceUID": lambda instance: instance.series_uid,
    "SOPInstanceUID": lambda instance: instance.instance_uid,
    "SOPClassUID": lambda instance: instance.sop_class,
}
_FILTERS = frozenset({_STUDY, _MODALITIES, "StudyDate", "Modality", *_UIDS})


@dataclass(frozen=True, slots=True)
class Search:
    """Which objects are looked for: of `study_uids`, where any are named, those that meet every condition."""

    study_uids: tuple[str, ...]
    in_study: tuple[Fits, ...]  # each met by the modality of any object of the study
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
    """Read the filters of an address. Raises InvalidParameters."""
    asked = matching.filters_of(parameters, _FILTERS)
    conditions = [
        _among(value_of, matching.uids(keyword, asked[keyword]))
        for keyword, value_of in _UIDS.items()
        if keyword in asked
    ]
    if "Modality" in asked:
        modality = matching.code("Modality", asked["Modality"])
        conditions.append(lambda instance: modality(instance.modality))
    if "StudyDate" in asked:
        date = matching.moment("StudyDate", asked["StudyDate"])
        conditions.append(lambda instance: date(instance.study_date))
    study_uids = matching.uids(_STUDY, asked[_STUDY]) if _STUDY in asked else ()
    in_study = (matching.code(_MODALITIES, asked[_MODALITIES]),) if _MODALITIES in asked else ()
    return Search(study_uids, in_study, tuple(conditions))


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
            raise matching.too_broad()
        there = results.instances(uid, tenant=tenant)
        if found := search.within(there):
            yield there, found


def _among(value_of: Callable[[Instance], str], listed: tuple[str, ...]) -> Callable[[Instance], bool]:
    return lambda instance: value_of(instance) in listed
