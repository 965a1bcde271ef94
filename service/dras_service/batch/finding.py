"""From the source of a batch file to the cases of its ledger."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.cases import Found
from dras_service.batch.deliveries import Deliveries, KnownStudy
from dras_service.batch.inventory import Inventory
from dras_service.batch.job import BatchJob, Pacs
from dras_service.batch.ledger import Ledger
from dras_service.batch.manifest import Manifest, Row, read_manifest, studies_by_path
from dras_service.batch.table import RESERVED
from dras_service.batch.tree import studies_of, take_stock

_AT_ONCE = 500  # cases a transaction

Tell = Callable[[int], None]


def find_studies(job: BatchJob, ledger: Ledger, inventory: Inventory, *, recipe: str, tell: Tell) -> None:
    """Bring the cases of the ledger to what the source offers; `tell` hears how many files were looked at.

    Raises SetupRefused COHORT_INVALID where the source cannot be read, or offers nothing.
    """
    offered = _offered(job, inventory, ledger, tell)
    empty = True
    while chunk := list(islice(offered, _AT_ONCE)):
        empty = False
        ledger.take_in(chunk, recipe)
    if empty:
        pacs = job.source.pacs
        place = job.source.manifest or job.source.folder or Path(pacs.peer if pacs is not None else "")
        raise _invalid(place, "no study is in it")


def read_table(job: BatchJob) -> Manifest | None:
    """Read the manifest, None where there is none. Raises SetupRefused COHORT_INVALID."""
    path = job.source.manifest
    if path is None:
        return None
    manifest = read_manifest(path, reserved=RESERVED)
    by_uid = next((row for row in manifest.rows if row.path is None), None)
    if by_uid is not None and job.source.folder is None and job.source.pacs is None:
        where = "give source.folder or source.pacs, where it is looked for"
        raise _invalid(path, f"its row {by_uid.number} names a UID; {where}")
    return manifest


def _offered(job: BatchJob, inventory: Inventory, ledger: Ledger, tell: Tell) -> Iterator[Found]:
    manifest, root = read_table(job), job.source.folder
    if manifest is not None:
        yield from studies_by_path(manifest)
    named = None if manifest is None else _rows_by_uid(manifest.rows)
    if named == {}:
        return
    if job.source.pacs is not None:
        yield from _asked_for(job.source.pacs, named, Deliveries(ledger).known_at(job.source.pacs.peer))
    if root is None:
        return
    n_files = 0

    def told(more: int) -> None:
        nonlocal n_files
        n_files += more
        tell(n_files)

    try:
        take_stock(root, inventory, leave_out=job.out, tell=told)
    except OSError as fault:
        raise _invalid(root, f"{fault.filename}: {fault.strerror or 'it cannot be read'}") from fault
    if named is None:
        yield from studies_of(root, inventory)
    else:
        yield from _named(studies_of(root, inventory, wanted=named), named)


def _named(offered: Iterable[Found], rows: dict[str, list[Row]]) -> Iterator[Found]:
    """Yield a case for each row, those last whose study is not there."""
    left = dict(rows)
    for found in offered:
        for row in left.pop(found.study_uid):
            yield replace(
                found,
                series_uid=row.series_uid,
                carried=row.carried,
                called=row.called or found.called,
                identity=f"{found.identity} {row.series_uid or ''}",
            )
    for study_uid, missing in left.items():
        for row in missing:
            yield Found(
                study=study_uid,
                origin="missing",
                source="",
                identity="missing",
                study_uid=study_uid,
                series_uid=row.series_uid,
                carried=row.carried,
                called=row.called,
            )


def _asked_for(
    pacs: Pacs, named: dict[str, list[Row]] | None, known: Mapping[str, KnownStudy]
) -> Iterator[Found]:
    """Yield what the query finds, or each row as it is: whether the PACS has it shows when it is fetched."""
    if named is None:
        from dras_service.batch.fetching import studies_in  # noqa: PLC0415 - a batch of files needs no PACS

        yield from studies_in(pacs, known)
        return
    for study_uid, rows in named.items():
        for row in rows:
            yield Found(
                study=study_uid,
                origin="pacs",
                source=pacs.peer,
                identity=study_uid,
                study_uid=study_uid,
                series_uid=row.series_uid,
                carried=row.carried,
                called=row.called,
            )


def _rows_by_uid(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.path is None:
            found.setdefault(row.study_uid, []).append(row)
    return found


def _invalid(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.COHORT_INVALID, name=path.name or str(path), reason=reason)
