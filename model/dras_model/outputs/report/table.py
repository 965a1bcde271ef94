"""The regional table of the page: what each cell shows, and the footnotes that say why a cell is empty.

Numbers are rounded here and nowhere else on the page; `regions.csv` and `result.json` have every digit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dras_model.outputs.report.wording import name_of
from dras_model.results.codes import Code
from dras_model.results.study import LOBES, Region, Score, StudyResult

MINUS = "\N{MINUS SIGN}"
EMPTY = "\N{EM DASH}"
RAW: Final = "raw"
HARMONISED: Final = "harmonised"
REGIONS = (
    Region.WHOLE, Region.RIGHT, Region.RIGHT_APICAL, Region.RIGHT_MIDDLE, Region.RIGHT_BASAL, Region.LEFT,
    Region.LEFT_APICAL, Region.LEFT_MIDDLE, Region.LEFT_BASAL, *LOBES,
)  # fmt: skip
LUNGS = frozenset({Region.WHOLE, Region.RIGHT, Region.LEFT})


@dataclass(frozen=True, slots=True)
class Column:
    """One score of one image; `scale` takes its unit to the one shown."""

    code: str
    image: Literal["raw", "harmonised"]
    title: str
    unit: str
    digits: int
    scale: float = 1.0

    def show(self, value: float) -> str:
        """Return a number as the page prints it."""
        return f"{value * self.scale:.{self.digits}f}".replace("-", MINUS)


LAA = Column("LAA-950insp", RAW, "LAA-950", "%", 2)
LAA_HARMONISED = Column("LAA-950insp", HARMONISED, "LAA-950 harmonised", "%", 2)
PERC15 = Column("Perc15", RAW, "Perc15", "HU", 0)
PERC15_HARMONISED = Column("Perc15", HARMONISED, "Perc15 harmonised", "HU", 0)
DENSITY = Column("MLD", RAW, "Mean density", "HU", 0)
VOLUME = Column("volume", RAW, "Volume", "L", 2, 1e-3)
COLUMNS = (LAA, LAA_HARMONISED, PERC15, PERC15_HARMONISED, DENSITY, VOLUME)


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell; `mark` is the letter of a footnote, empty where the value is given."""

    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One region; `inner` for a part of a lung."""

    name: str
    inner: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column, and the numbers of the warnings that bear on its values."""

    title: str
    unit: str
    cautions: str


@dataclass(frozen=True, slots=True)
class Table:
    """The whole table, with its footnotes by letter."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[tuple[str, str], ...]


class Values:
    """The scores of a result by column and region."""

    def __init__(self, result: StudyResult) -> None:
        self._scores = {(score.image, score.code, score.region): score for score in result.scores}
        shown = [region for region in REGIONS if any((RAW, c.code, region) in self._scores for c in COLUMNS)]
        self.regions = tuple(shown)
        self.columns = tuple(
            column for column in COLUMNS if any(self.score(column, region) is not None for region in shown)
        )

    def score(self, column: Column, region: Region) -> Score | None:
        """Return a score, None where the result has none of it."""
        return self._scores.get((column.image, column.code, region))

    def value(self, column: Column, region: Region) -> float | None:
        """Return a value, None where it could not be given."""
        score = self.score(column, region)
        return None if score is None else score.value

    def shown(self, column: Column, region: Region) -> str:
        """Return what the page prints for a value."""
        value = self.value(column, region)
        return EMPTY if value is None else column.show(value)


def make_table(values: Values, numbers: Mapping[Code, int]) -> Table:
    """Fill the table; `numbers` are those of the warnings on the page."""
    letters: dict[str, str] = {}
    rows = tuple(_row(values, region, letters) for region in values.regions)
    heads = tuple(
        Head(column.title, column.unit, _cautions(values, column, numbers)) for column in values.columns
    )
    return Table(heads, rows, tuple((letter, reason) for reason, letter in letters.items()))


def _row(values: Values, region: Region, letters: dict[str, str]) -> Row:
    cells = []
    for column in values.columns:
        score = values.score(column, region)
        if score is not None and score.value is not None:
            cells.append(Cell(column.show(score.value)))
            continue
        reason = "the result has no such score" if score is None else score.reason or ""
        letter = letters.setdefault(reason, chr(ord("a") + len(letters)))
        cells.append(Cell(EMPTY, letter))
    return Row(name_of(region), region not in LUNGS, tuple(cells))


def _cautions(values: Values, column: Column, numbers: Mapping[Code, int]) -> str:
    """Return the numbers of the warnings that bear on any value of a column, as in "1–3, 5"."""
    scores = [values.score(column, region) for region in values.regions]
    codes = {code for score in scores if score is not None for code in score.warnings}
    return ranges(numbers[code] for code in codes if code in numbers)


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as a reader lists them: three and more in a row as a range."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]}\N{EN DASH}{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)
