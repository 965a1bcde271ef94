"""Who is in a cohort: subjects by name, and where the images of each lie. Nothing is opened here.

A cohort is a folder with an entry a subject (a folder of DICOM, an archive, a NIfTI file: what a batch from a PACS
leaves, too), a single study, a list in a file, or a number of phantoms.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dras_model.imaging.phantom import PhantomSpec
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.people import invent, scanned_again
from dras_training.recipe import Phantoms

LISTS = (".csv", ".txt")
_SINGLE = (".nii", ".nii.gz", ".zip", ".tar", ".tar.gz", ".tgz", ".dcm")


@dataclass(frozen=True, slots=True)
class Case:
    """One scan: files to read, or a phantom to make; `person` is whose it is, where somebody may have several."""

    subject: str
    source: Path | PhantomSpec
    series_uid: str | None = None
    person: str | None = None


def list_cases(sources: Sequence[Path]) -> list[Case]:
    """Return the cases of all `sources`, each source's by name. Raises SetupRefused COHORT_INVALID."""
    cases = [case for source in sources for case in _cases_of(source)]
    if not cases:
        raise _invalid(sources[0] if sources else Path(), "no subject is in it")
    return cases


def phantom_cases(cohort: Phantoms) -> list[Case]:
    """Return the phantoms of a recipe: everybody's first scan, then everybody's second one."""
    people = list(invent(cohort))
    if cohort.scans == 1:  # no `person`: it belongs to a store's identity, which stays as it was
        return [Case(person.name, person.spec) for person in people]
    return [
        Case(f"{person.name}-{n + 1}" if n else person.name, scanned_again(person, n), person=person.name)
        for n in range(cohort.scans)
        for person in people
    ]


def _cases_of(source: Path) -> Iterator[Case]:
    try:
        if source.is_dir():
            entries = sorted(entry for entry in source.iterdir() if not entry.name.startswith("."))
            whole = [entry for entry in entries if entry.is_dir() or _is_single(entry)]
            subjects = whole or [source]  # a folder of nothing but slices is one subject
            yield from (Case(_name(entry), entry) for entry in subjects)
        elif source.suffix.lower() in LISTS:
            yield from _listed(source)
        elif source.exists():
            yield Case(_name(source), source)
        else:
            raise _invalid(source, "there is no such file or folder")
    except OSError as fault:
        raise _invalid(source, fault.strerror or "it cannot be read") from fault


def _listed(path: Path) -> Iterator[Case]:
    """Read a list: a path a line, or a table with the columns path and, where wanted, subject, series_uid, person.

    Paths are relative to the list.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as fault:
        raise _invalid(path, "it is no text") from fault
    rows = [row for row in csv.reader(lines) if row and not row[0].startswith("#")]
    header = [name.strip().lower() for name in rows[0]] if rows else []
    columns = header if "path" in header else ["path"]
    for number, row in enumerate(rows[1:] if "path" in header else rows, start=1):
        named = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not named.get("path"):
            raise _invalid(path, f"its row {number} names no path")
        place = path.parent / named["path"]
        yield Case(
            named.get("subject") or _name(place),
            place,
            series_uid=named.get("series_uid") or None,
            person=named.get("person") or None,
        )


def _is_single(path: Path) -> bool:
    return path.name.lower().endswith(_SINGLE) and not path.name.lower().endswith(".dcm")


def _name(path: Path) -> str:
    name = path.resolve().name
    suffix = next((s for s in sorted(_SINGLE, key=len, reverse=True) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _invalid(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.COHORT_INVALID, name=path.name, reason=reason)
