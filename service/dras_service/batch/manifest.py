"""A manifest: a table that names studies by path or Study Instance UID, and says more about them.

Read as text with commas, semicolons or tabs between cells. Columns that are not understood here are carried into
the cohort's table under their own names.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.cases import Found
from dras_service.batch.inventory import digest

_PATH, _STUDY, _SERIES = ("path",), ("studyinstanceuid", "study_uid"), ("seriesinstanceuid", "series_uid")
_CALLED = ("subject", "subject_id", "case")
_SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a path, as it is written and where it leads, or a UID, the series, and the other columns."""

    number: int
    named: str
    path: Path | None
    study_uid: str
    series_uid: str | None
    carried: Mapping[str, str]

    @property
    def called(self) -> str:
        """What people call the case."""
        named = {name.lower(): value for name, value in self.carried.items()}
        return next((named[name] for name in _CALLED if named.get(name)), "")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All rows, and the names of the columns that are carried."""

    rows: Sequence[Row]
    carried: Sequence[str]


def read_manifest(path: Path, *, reserved: frozenset[str]) -> Manifest:
    """Read a manifest; paths are relative to it. `reserved` are names that a carried column may not have.

    Raises SetupRefused COHORT_INVALID, naming the row at fault.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _invalid(path, "it is no UTF-8 text") from fault
    except OSError as fault:
        raise _invalid(path, fault.strerror or "it cannot be read") from fault
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    separator = max(_SEPARATORS, key=lines[0].count) if lines else ","
    header, *cells = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)] or [
        []
    ]
    known = [_meaning(name) for name in header]
    if "path" not in known and "study" not in known:
        raise _invalid(path, "its first line names neither a column path nor a column StudyInstanceUID")
    carried = [name for name, meaning in zip(header, known, strict=True) if not meaning]
    if wrong := next((n for n in carried if n in reserved or not n or carried.count(n) > 1), None):
        raise _invalid(
            path, f"the column {wrong!a} is there twice, or has a name that the cohort's table uses"
        )
    rows = [_row(path, number, header, known, row) for number, row in enumerate(cells, start=1)]
    _refuse_repeats(path, rows)
    return Manifest(rows, carried)


def studies_by_path(manifest: Manifest) -> Iterator[Found]:
    """Yield the rows that name a path. What is not there is a case, too: its refusal says so."""
    for row in manifest.rows:
        if row.path is not None:
            yield Found(
                study=f"path:{row.named}",
                origin="path",
                source=row.named,
                identity=_identity(row.path),
                series_uid=row.series_uid,
                carried=row.carried,
                called=row.called or row.path.name,
            )


def _row(path: Path, number: int, header: Sequence[str], known: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(header):
        raise _invalid(path, f"its row {number} has {len(cells)} cells, the first line {len(header)}")
    told = {meaning: cell for meaning, cell in zip(known, cells, strict=True) if meaning and cell}
    if "path" not in told and "study" not in told:
        raise _invalid(path, f"its row {number} names no study")
    return Row(
        number=number,
        named=told.get("path", ""),
        path=path.parent / told["path"] if "path" in told else None,
        study_uid=told.get("study", ""),
        series_uid=told.get("series"),
        carried={name: cell for name, meaning, cell in zip(header, known, cells, strict=True) if not meaning},
    )


def _refuse_repeats(path: Path, rows: Sequence[Row]) -> None:
    seen: dict[tuple[str, str | None], int] = {}
    for row in rows:
        what = (str(row.path or row.study_uid), row.series_uid)
        first = seen.setdefault(what, row.number)
        if first != row.number:
            raise _invalid(path, f"its rows {first} and {row.number} name the same study")


def _meaning(name: str) -> str:
    for meaning, names in (("path", _PATH), ("study", _STUDY), ("series", _SERIES)):
        if name.lower() in names:
            return meaning
    return ""


def _identity(path: Path) -> str:
    """Digest names, sizes and times of all that lies at a path; nothing is opened."""
    files = [Path(place, name) for place, _, names in os.walk(path) for name in names]
    found = [(file.relative_to(path).as_posix(), *_state(file)) for file in files]
    return digest([*found, ("", *_state(path))] if path.is_file() else found)


def _state(path: Path) -> tuple[int, int]:
    """Return size and time of a file; nothing for a link to nowhere."""
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _invalid(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.COHORT_INVALID, name=path.name, reason=reason)
