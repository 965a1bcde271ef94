"""The chart of the page: LAA-950 of every region, with what was published of healthy lungs above.

The axis is of square roots, so that one per cent and fifty can both be read. Published values are drawn solid where
the scan meets their conditions, else dashed; no region has a band of its own, as none was published.
"""

import math
from collections.abc import Sequence

from dras_model.outputs.report import svg
from dras_model.outputs.report.normal_values import (
    NORMAL_VALUES,
    QUANTITATIVE_EMPHYSEMA_PERCENT,
    NormalValue,
)
from dras_model.outputs.report.svg import FAINT, HARMONISED, INK, NORMAL, RULE, Picture
from dras_model.outputs.report.table import EMPTY, LAA, LAA_HARMONISED, LUNGS, Values
from dras_model.outputs.report.wording import name_of
from dras_model.results.study import Region

TOP_MM, LABELS_MM, RIGHT_MM = 6.2, 27.0, 3.0
KEY_MM = (
    1.4  # at the left edge: a reader of HTML may have a wider font, and what passes the right edge is cut
)
ROW_MM, DENSE_ROW_MM, MOST_ROWS = 3.55, 3.0, 12  # with lobes the rows move together
_SCALES = {5.0: (0, 0.5, 1, 2, 5), 10.0: (0, 1, 2, 5, 10), 25.0: (0, 1, 5, 10, 25), 50.0: (0, 1, 5, 10, 25, 50),
           100.0: (0, 1, 5, 10, 25, 50, 100)}  # fmt: skip


class Axis:
    """Square roots of percentages over a width of paper."""

    def __init__(self, values: Sequence[float], width_mm: float) -> None:
        most = max([QUANTITATIVE_EMPHYSEMA_PERCENT * 1.2, *values])
        self.end = next((end for end in _SCALES if end >= most), 100.0)
        self.ticks = _SCALES[self.end]
        self.width_mm = width_mm

    def at(self, percent: float) -> float:
        """Return where a percentage lies."""
        share = math.sqrt(min(max(percent, 0.0), self.end) / self.end)
        return LABELS_MM + share * (self.width_mm - LABELS_MM - RIGHT_MM)


def draw_chart(values: Values, *, comparable: bool, width_mm: float) -> Picture:
    """Draw the chart; `comparable` says whether the scan meets the conditions of the published values."""
    found = [
        value
        for region in values.regions
        for column in (LAA, LAA_HARMONISED)
        if (value := values.value(column, region)) is not None
    ]
    axis = Axis(found, width_mm)
    n_published = len(NORMAL_VALUES)
    row_mm = ROW_MM if n_published + len(values.regions) <= MOST_ROWS else DENSE_ROW_MM

    def middle_of(row: float) -> float:
        return TOP_MM + row_mm * (row + 0.5)

    height = TOP_MM + row_mm * (len(values.regions) + n_published + 1) + 7.0
    shapes = _frame(axis, height)
    for n, each in enumerate(NORMAL_VALUES):
        shapes += _published(axis, each, middle_of(n), solid=comparable and each.technique is not None)
    shapes.append(svg.line((0, middle_of(n_published) - 0.2), (width_mm, middle_of(n_published) - 0.2), RULE))
    for n, region in enumerate(values.regions):
        shapes += _region(axis, values, region, middle_of(n_published + 0.6 + n))
    shapes += _key(
        height, harmonised=any(values.value(LAA_HARMONISED, region) is not None for region in values.regions)
    )
    return Picture(
        name="chart",
        svg=svg.svg(width_mm, height, shapes),
        width_mm=width_mm,
        height_mm=height,
        alt="Chart of LAA-950 by region on a square-root axis"
        f" up to {axis.end:g} %, with published values of healthy people above; the numbers are in the table.",
        caption="LAA-950 by region and in healthy people, in % on a square-root scale",
    )


def _frame(axis: Axis, height: float) -> list[str]:
    bottom = height - 6.6
    shapes = []
    for tick in axis.ticks:
        x = axis.at(tick)
        shapes.append(svg.line((x, TOP_MM - 0.8), (x, bottom), RULE, 0.15))
        shapes.append(svg.text(x, TOP_MM - 1.6, f"{tick:g}", size=2.2, colour=FAINT, anchor="middle"))
    limit = axis.at(QUANTITATIVE_EMPHYSEMA_PERCENT)
    shapes.append(svg.line((limit, TOP_MM - 0.8), (limit, bottom), FAINT, 0.35))
    shapes.append(svg.text(0, TOP_MM - 1.6, "LAA-950, %", size=2.2, colour=FAINT))
    return shapes


def _published(axis: Axis, each: NormalValue, y: float, *, solid: bool) -> list[str]:
    shapes = [svg.text(0, y + 0.8, f"Healthy, {each.name}", size=2.3, colour=NORMAL)]
    if each.low is not None and each.high is not None:
        left, right = axis.at(each.low), axis.at(each.high)
        shape = svg.rectangle if solid else svg.outline
        shapes.append(shape(left, y - 0.9, right - left, 1.8, "#a9d3b8" if solid else NORMAL))
    middle = axis.at(each.middle)
    shapes.append(svg.line((middle, y - 1.2), (middle, y + 1.2), NORMAL, 0.5 if solid else 0.25))
    return shapes


def _region(axis: Axis, values: Values, region: Region, y: float) -> list[str]:
    whole = region in LUNGS
    name = svg.text(0 if whole else 1.8, y + 0.8, name_of(region), size=2.3, bold=region is Region.WHOLE)
    raw, harmonised = values.value(LAA, region), values.value(LAA_HARMONISED, region)
    if raw is None:
        return [name, svg.text(axis.at(0) + 1.0, y + 0.8, EMPTY, size=2.3, colour=FAINT)]
    shapes = [name]
    if harmonised is not None:
        shapes.append(svg.line((axis.at(harmonised), y), (axis.at(raw), y), HARMONISED, 0.2))
        shapes.append(svg.diamond(axis.at(harmonised), y, 1.0, HARMONISED))
    shapes.append(svg.circle(axis.at(raw), y, 0.85, INK))
    return shapes


def _key(height: float, *, harmonised: bool) -> list[str]:
    y = height - 4.0
    shapes = [svg.circle(KEY_MM, y - 0.8, 0.85, INK)]
    shapes.append(svg.text(KEY_MM + 1.8, y, "as measured", size=2.2, colour=FAINT))
    if harmonised:
        shapes.append(svg.diamond(KEY_MM + 17, y - 0.8, 1.0, HARMONISED))
        shapes.append(svg.text(KEY_MM + 18.8, y, "harmonised", size=2.2, colour=FAINT))
    shapes.append(svg.outline(KEY_MM - 1.4, y + 1.6, 2.4, 1.4, NORMAL))
    words = "dashed: technique differs or was not checked"
    shapes.append(svg.text(KEY_MM + 1.8, y + 3.0, words, size=2.2, colour=FAINT))
    return shapes
