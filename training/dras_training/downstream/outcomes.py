"""The user's table: who has which outcome. CSV or Parquet, a row a person; the column `subject` names them.

A subject is a scan. A column `person` may say whose; two of one person are refused, who would be judged by a model
that was fitted to them. A cell that is empty is an outcome that is not known, and costs nobody but its own row.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream.people import People

SUBJECT, PERSON = "subject", "person"
Kind: TypeAlias = Literal["regression", "classification"]
MOST_CLASSES = 10
LEAST_PEOPLE, LEAST_OF_A_CLASS = 20, 5  # fewer leave folds without any


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its cells as they are written; `name` is for what is said of it."""

    name: str
    columns: dict[str, list[str | None]]

    def column(self, name: str) -> list[str | None]:
        """Return a column. Raises SetupRefused TABLE_INVALID, naming those there are."""
        if name not in self.columns:
            raise self.refused(f"it has no column {name}; it has {', '.join(self.columns)}")
        return self.columns[name]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, NaN where a cell is empty. Raises SetupRefused TABLE_INVALID."""
        try:
            found = [np.nan if cell is None else float(cell) for cell in self.column(name)]
        except ValueError as fault:
            raise self.refused(f"its column {name} holds other things than numbers") from fault
        return np.where(np.isfinite(found), found, np.nan)

    def refused(self, reason: str) -> SetupRefused:
        """Return the refusal of this table."""
        return SetupRefused(Code.TABLE_INVALID, name=self.name, reason=reason)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """An outcome of the `people` who have one: numbers (n,), or the class of each among `classes`."""

    name: str
    people: People
    kind: Kind
    values: NDArray[np.float64]
    classes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read CSV (with a header) or Parquet. Raises SetupRefused TABLE_INVALID."""
    try:
        if path.suffix == ".parquet":
            read: dict[str, list[Any]] = pq.read_table(path).to_pydict()
            columns = {
                name: [None if cell is None else str(cell) for cell in cells] for name, cells in read.items()
            }
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
            names = list(rows[0]) if rows else []
            columns = {name: [(row[name] or "").strip() or None for row in rows] for name in names}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, pa.ArrowException) as fault:
        raise SetupRefused(Code.TABLE_INVALID, name=path.name, reason="it cannot be read") from fault
    table = Table(path.name, columns)
    _require_once(table, SUBJECT)
    if PERSON in table.columns:
        _require_once(table, PERSON)
    return table


def _require_once(table: Table, column: str) -> None:
    """Raise SetupRefused TABLE_INVALID where somebody is named twice."""
    seen: set[str] = set()
    for row, cell in enumerate(table.column(column)):
        if cell in seen:
            raise table.refused(f"it has more than one row of a {column} (row {row + 2} is one)")
        if cell is not None:
            seen.add(cell)


def rows_of(table: Table, people: People) -> NDArray[np.int64]:
    """Return the row of each person in the table, -1 of those without one. Raises SetupRefused where none has."""
    at = {name: row for row, name in enumerate(table.column(SUBJECT)) if name is not None}
    rows = np.array([at.get(name, -1) for name in people.names], dtype=np.int64)
    if (rows < 0).all():
        raise table.refused("none of its subjects is among the embeddings")
    return rows


def read_outcome(table: Table, people: People, name: str, *, kind: Kind | None = None) -> Outcome:
    """Return the outcome in column `name`, of those who have one; words, or few whole numbers, are classes.

    Raises SetupRefused TABLE_INVALID where there are too few people, or of a class.
    """
    rows = rows_of(table, people)
    cells = [table.column(name)[row] if row >= 0 else None for row in rows]
    known = [i for i, cell in enumerate(cells) if cell is not None]
    if len(known) < LEAST_PEOPLE:
        raise table.refused(f"{len(known)} people have an outcome {name}; {LEAST_PEOPLE} are needed")
    given, chosen = [str(cells[i]) for i in known], people.chosen(known)
    if (kind or _guessed(given)) == "regression":
        numbers = table.numbers(name)[rows[known]]
        if np.isnan(numbers).any() or np.ptp(numbers) == 0:
            raise table.refused(f"its column {name} is no number for all, or the same for all")
        return Outcome(name, chosen, "regression", numbers)
    classes, values = np.unique(given, return_inverse=True)
    counts = np.bincount(values)
    if not 2 <= len(classes) <= MOST_CLASSES or counts.min() < LEAST_OF_A_CLASS:
        few = f"the smallest has {counts.min()} people"
        raise table.refused(
            f"its column {name} has {len(classes)} classes, {few};"
            f" 2 to {MOST_CLASSES} classes of at least {LEAST_OF_A_CLASS} people are needed"
        )
    return Outcome(name, chosen, "classification", values.astype(np.float64), tuple(str(c) for c in classes))


def _guessed(cells: Sequence[str]) -> Kind:
    try:
        numbers = {float(cell) for cell in cells}
    except ValueError:
        return "classification"
    whole = all(number.is_integer() for number in numbers)
    return "classification" if whole and len(numbers) <= 2 else "regression"
