"""The cohort's table of a batch and its failures, from what the ledger says is done; made at any time."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dras_model.outputs.cohort import (
    FAILURES_HEADER,
    STUDY_TYPES,
    Failure,
    failures_of,
    failures_table,
    wide_names,
    write_cohort,
)
from dras_model.outputs.quantities import FEATURE_QUANTITIES
from dras_model.outputs.tables import HEADER, Cell
from dras_service.batch.cases import State
from dras_service.batch.job import BatchJob, Table
from dras_service.batch.ledger import Ledger

RESULTS, COHORT = "cases", "cohort.parquet"
_OWN = ("Source", "StudyInstanceUID")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?")
# Columns of the cohort's table and of its failures, which a manifest cannot carry in.
RESERVED = frozenset(
    {*_OWN, *STUDY_TYPES, *HEADER, *FAILURES_HEADER, *FEATURE_QUANTITIES, *wide_names(), "patch", "embedding"}
)


@dataclass(frozen=True, slots=True)
class Tables:
    """What was written; `cohort` is None where no case is done."""

    cohort: Path | None
    failures: Path
    n_rows: int
    n_read: int


def write_tables(
    job: BatchJob,
    ledger: Ledger,
    *,
    out: Path | None = None,
    table: Table | None = None,
    tell: Callable[[float], None] = lambda _fraction: None,
) -> Tables:
    """Write the table to `out`, `cohort.parquet` of the batch by default, in the place of an older one.

    Raises SetupRefused OUTPUT_NOT_WRITABLE.
    """
    out, table = out or job.out / COHORT, table or job.table
    done = [dict(row) for row in ledger.rows(State.DONE)]
    failed = [dict(row) for row in ledger.rows(State.FAILED)]
    names = tuple(dict.fromkeys(name for row in (*done, *failed) for name in json.loads(row["carried"])))
    columns = (*_OWN, *names)
    cells: dict[str, Sequence[Cell]] = {}
    for name in columns:
        told = [_cell(row, name) for row in (*done, *failed)]
        cells[name] = told if name in _OWN else _typed(told)
    failures = [
        Failure(
            path=row["source"] or row["study_uid"],
            code=row["code"],
            message=row["message"],
            carried=[cells[name][place] for name in columns],
        )
        for place, row in enumerate(failed, start=len(done))
    ]
    if not done:
        with failures_table(out, columns, overwrite=True) as fail:
            for failure in failures:
                fail(failure)
        return Tables(None, failures_of(out), 0, 0)
    written = write_cohort(
        [job.out / RESULTS / row["name"] for row in done],
        out,
        rows=table.rows,
        embeddings=table.embeddings,
        carried={name: values[: len(done)] for name, values in cells.items()},
        failed=failures,
        overwrite=True,
        report=tell,
    )
    return Tables(out, written.failures, written.n_rows, written.n_read)


def _cell(row: Mapping[str, Any], name: str) -> str | None:
    if name in _OWN:
        value = row["source"] if name == "Source" else row["study_uid"]
    else:
        value = json.loads(row["carried"]).get(name, "")
    return value or None


def _typed(values: Sequence[str | None]) -> Sequence[Cell]:
    """Return whole numbers, or numbers, where every cell reads as one; 007 is a name."""
    given = [value for value in values if value is not None]
    if given and all(map(_WHOLE.fullmatch, given)):
        return [None if value is None else int(value) for value in values]
    if given and all(map(_NUMBER.fullmatch, given)):
        return [None if value is None else float(value) for value in values]
    return values
