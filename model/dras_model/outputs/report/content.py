"""What the report says, in words and rows, before anything is drawn: the PDF and the page in HTML draw this alone.

Every number of it is one of `result.json`. Leaves out pictures (`pictures`) and layout (`html`, `pdf`).
"""

import re
from dataclasses import dataclass

from dras_model.outputs.report.normal_values import (
    NORMAL_VALUES,
    QUANTITATIVE_EMPHYSEMA_PERCENT,
    QUANTITATIVE_EMPHYSEMA_SOURCE,
    departures,
)
from dras_model.outputs.report.page import Page, drawable
from dras_model.outputs.report.provenance import acquisition_line, provenance_lines
from dras_model.outputs.report.table import (
    DENSITY,
    EMPTY,
    LAA,
    LAA_HARMONISED,
    MINUS,
    PERC15,
    PERC15_HARMONISED,
    VOLUME,
    Column,
    Table,
    Values,
    make_table,
    ranges,
)
from dras_model.outputs.report.wording import name_of, title_of
from dras_model.results.study import Region, StudyResult, StudyWarning

TITLE = "Lung density report"
UNTRAINED, PHANTOM = "untrained", "phantom"  # in what a result says of its weights' training
NBSP = "\N{NO-BREAK SPACE}"
NOTICE = "Research use. Not for diagnosis."
_HYPHEN = re.compile(r"(?<![\w.)-])-(?=\d)")
_ZONES = tuple(
    Region(f"{side}_{part}") for side in ("right", "left") for part in ("apical", "middle", "basal")
)


@dataclass(frozen=True, slots=True)
class Caution:
    """One warning: its number on the page, a title in plain words, and the sentence with its evidence."""

    number: int
    title: str
    message: str
    severe: bool


@dataclass(frozen=True, slots=True)
class Headline:
    """One number for both lungs: what it is, what else is to be known, and the warnings that bear on it.

    `severe` where one of those is.
    """

    name: str
    value: str
    unit: str
    meaning: str
    note: str
    doubt: str = ""
    severe: bool = False


@dataclass(frozen=True, slots=True)
class ReportContent:
    """The text of the page, in the order in which it is read. `bands` cannot be overlooked; often there is none."""

    title: str
    label: str | None
    day: str | None
    notice: str
    bands: tuple[str, ...]
    acquisition: str
    heading: str
    cautions: tuple[Caution, ...]
    headlines: tuple[Headline, ...]
    table: Table
    comparison: str
    references: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]


def make_content(result: StudyResult, page: Page) -> ReportContent:
    """Put the text of the page together."""
    ranked = sorted(result.warnings, key=lambda warning: warning.severity != "severe")
    values = Values(result)
    return ReportContent(
        title=TITLE,
        label=None if page.label is None else drawable(page.label),
        day=None if page.day is None else page.day.isoformat(),
        notice=NOTICE,
        bands=_bands(result),
        acquisition=acquisition_line(result),
        heading=_heading(ranked),
        cautions=tuple(
            Caution(n, title_of(each.code), _signed(drawable(each.message)), each.severity == "severe")
            for n, each in enumerate(ranked, start=1)
        ),
        headlines=_headlines(values, ranked),
        table=make_table(values, {each.code: n for n, each in enumerate(ranked, start=1)}),
        comparison=_comparison(result),
        references=_references(),
        provenance=provenance_lines(result),
    )


def _signed(message: str) -> str:
    """Return a sentence with minus signs before its numbers, where it has hyphens."""
    return _HYPHEN.sub(MINUS, message)


def _bands(result: StudyResult) -> tuple[str, ...]:
    """Return what no reader may miss about the run itself."""
    training, patches = result.provenance.weights.training, result.qc.patches
    bands = []
    if training == UNTRAINED:
        bands.append("Untrained encoder weights: the embeddings have no clinical meaning.")
    elif PHANTOM in training:
        bands.append("Phantom-trained encoder weights: the embeddings have no clinical meaning.")
    if bands:
        bands[0] += " The densities on this page do not use them."
    if result.status == "partial":
        bands.append(f"Partial result: {patches.n_valid} of {patches.n_patches} patches are valid.")
    return tuple(bands)


def _heading(ranked: list[StudyWarning]) -> str:
    n_severe = sum(each.severity == "severe" for each in ranked)
    if not ranked:
        return "No warnings"
    count = f"{len(ranked)} warning{'' if len(ranked) == 1 else 's'}"
    return f"Read first: {count}{f', {n_severe} of them severe' if n_severe else ''}"


def _headlines(values: Values, ranked: list[StudyWarning]) -> tuple[Headline, ...]:
    return (
        _headline(
            values,
            LAA,
            ranked,
            "Emphysema index",
            f"LAA-950: lung at or below −950{NBSP}HU",
            LAA_HARMONISED,
        ),
        _headline(values, PERC15, ranked, "Perc15", "15 % of the lung lies below", PERC15_HARMONISED),
        _headline(values, DENSITY, ranked, "Mean density", "mean of both lungs"),
        _headline(values, VOLUME, ranked, "Volume", "of both lungs in this scan"),
        _where(values),
    )


def _headline(
    values: Values, column: Column, ranked: list[StudyWarning], name: str, meaning: str,
    harmonised: Column | None = None,
) -> Headline:  # fmt: skip
    value, note = values.shown(column, Region.WHOLE), ""
    if harmonised is not None:
        other = values.shown(harmonised, Region.WHOLE)
        note = "no harmonised value" if other == EMPTY else f"harmonised {other}{NBSP}{column.unit}"
    score = values.score(column, Region.WHOLE)
    bearing = [
        n for n, each in enumerate(ranked, start=1) if score is not None and each.code in score.warnings
    ]
    return Headline(
        name=name,
        value=value,
        unit="" if value == EMPTY else column.unit,
        meaning=meaning if value != EMPTY else "could not be given: see the table",
        note=note,
        doubt=f"see warning{'' if len(bearing) == 1 else 's'} {ranges(bearing)}" if bearing else "",
        severe=any(ranked[n - 1].severity == "severe" for n in bearing),
    )


def _where(values: Values) -> Headline:
    """Return the thirds with most and with least low attenuation."""
    name = "Most low attenuation"
    found = {zone: value for zone in _ZONES if (value := values.value(LAA, zone)) is not None}
    if len(found) < len(_ZONES) or max(found.values()) == min(found.values()):
        return Headline(name, EMPTY, "", "not all thirds have a value, or all the same", "")
    most, least = max(found, key=lambda zone: found[zone]), min(found, key=lambda zone: found[zone])
    return Headline(
        name,
        name_of(most),
        "",
        f"LAA-950 {values.shown(LAA, most)}{NBSP}%",
        f"least: {name_of(least).lower()}, {values.shown(LAA, least)}{NBSP}%",
    )


def _comparison(result: StudyResult) -> str:
    """Say whether this scan may be held against the published values, and that regions may not."""
    found = departures(result)
    no_parts = (
        "None is published for thirds or lobes, for harmonised values, or for Perc15 by kernel and slice."
    )
    if found:
        return f"This scan is not comparable with the published values: {', '.join(found)}. {no_parts}"
    return (
        "The scan meets the conditions of the published values as far as its header tells; age, sex and height,"
        f" which move them, are not read. {no_parts}"
    )


def _references() -> tuple[str, ...]:
    """Return one line a published value, with its people, technique and source."""
    lines = [
        f"{each.name}: {_range(each.low, each.middle, each.high)} % ({each.spread}); {each.people};"
        f" {each.technique or 'technique not checked, never compared'}. {each.source}."
        for each in NORMAL_VALUES
    ]
    lines.append(
        f"{QUANTITATIVE_EMPHYSEMA_PERCENT:g} %: called quantitative emphysema in cohorts of smokers; no limit of"
        f" normal. {QUANTITATIVE_EMPHYSEMA_SOURCE}."
    )
    return tuple(lines)


def _range(low: float | None, middle: float, high: float | None) -> str:
    return f"{middle:g}" if low is None or high is None else f"{middle:g}, {low:g} to {high:g}"
