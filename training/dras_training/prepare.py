"""From a cohort to a patch store: every study goes the way it will go in serving, as far as its patches.

Cases run in processes of their own, and no case stops the others: what cannot be used is recorded with its code and
sentence. Stopped at any moment, by a full disk too, it goes on where it was when it is called again.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.choices import Choices
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.parallel import available_cores
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.preparing import cut
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_training.cases import Case
from dras_training.store import CaseRecord, PatchStore, not_writable, pack_bits
from dras_training.telling import to_nobody

Heard = Callable[[CaseRecord, int, int], None]

_OTHER_STUDY = 1_000_000  # added to a person's seed: every scan is a study of its own


@dataclass(frozen=True, slots=True)
class Summary:
    """What a call of `prepare_store` left."""

    stored: int
    refused: int
    already: int

    @classmethod
    def of(cls, records: Sequence[CaseRecord], *, already: int) -> Self:
        """Count the outcomes of `records`."""
        stored = sum(record.status == "stored" for record in records)
        return cls(stored, len(records) - stored, already)


@dataclass(frozen=True, slots=True)
class _Cut:
    """What a process tells of a case whose patches it has written."""

    input_sha256: str
    valid: NDArray[np.bool_]


_Task: TypeAlias = tuple[Case, int]  # a case and the slot it is written to
_Outcome: TypeAlias = tuple[Case, int, _Cut | StudyRefused]


def prepare_store(
    cases: Sequence[Case],
    store: PatchStore,
    atlas: Atlas,
    *,
    processes: int | None = None,
    again: bool = False,
    heard: Heard = to_nobody,
) -> Summary:
    """Put every case into `store` that it has no record of; `heard` is told each outcome and how many are done.

    `again` takes refused cases up again. Raises SetupRefused OUTPUT_NOT_WRITABLE where the store's disk is full.
    """
    told = {record.subject for record in store.records if record.status == "stored" or not again}
    waiting = [case for case in cases if case.subject not in told]
    ended: list[CaseRecord] = []
    known = {record.input_sha256 for record in store.records if record.slot is not None}
    jobs = min(processes or available_cores(), max(len(waiting), 1))
    elsewhere = replace(store, path=store.path.absolute())  # as other processes have to know it
    try:
        for case, slot, outcome in _outcomes(waiting, elsewhere, atlas, jobs=jobs):
            if isinstance(outcome, _Cut) and outcome.input_sha256 in known:
                outcome = StudyRefused(Code.DUPLICATE_SUBJECT, what="images")  # noqa: PLW2901
            record = _record(case, slot, outcome)
            known.add(record.input_sha256)
            store.record(record)
            ended.append(record)
            heard(record, len(ended), len(waiting))
    except OSError as fault:
        raise not_writable(store.path, fault) from fault
    return Summary.of(ended, already=len(cases) - len(waiting))


def _record(case: Case, slot: int, outcome: _Cut | StudyRefused) -> CaseRecord:
    if isinstance(outcome, StudyRefused):
        return CaseRecord(
            subject=case.subject,
            person=case.person,
            status="refused",
            code=outcome.code.value,
            sentence=str(outcome),
        )
    return CaseRecord(
        subject=case.subject,
        person=case.person,
        status="stored",
        slot=slot,
        input_sha256=outcome.input_sha256,
        valid=pack_bits(outcome.valid),
    )


def _outcomes(cases: Sequence[Case], store: PatchStore, atlas: Atlas, *, jobs: int) -> Iterator[_Outcome]:
    """Yield each case with the slot it was given and what became of it, in the order of the cases."""
    free = count(max((r.slot + 1 for r in store.records if r.slot is not None), default=0))
    seen: set[str] = set()
    left: list[_Task] = []
    for case in cases:
        if case.subject in seen:
            yield case, -1, StudyRefused(Code.DUPLICATE_SUBJECT, what="name")
        else:
            seen.add(case.subject)
            left.append((case, next(free)))
    while left:
        left = yield from _until_broken(left, store, atlas, jobs=jobs)
        if left:  # one of those that were running brought a process down: each of them alone, to find which
            suspects, left = left[: 2 * jobs], left[2 * jobs :]
            for suspect in suspects:
                again = yield from _until_broken([suspect], store, atlas, jobs=1)
                if again:
                    yield (*suspect, StudyRefused(Code.CASE_CRASHED, how="its process died twice"))


def _until_broken(
    work: Sequence[_Task], store: PatchStore, atlas: Atlas, *, jobs: int
) -> Generator[_Outcome, None, list[_Task]]:
    """Yield outcomes until all are there or a process has died; return what is left to do."""
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of ours hold
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_keep, initargs=(store, atlas)) as pool:
        running: list[Future[_Cut | StudyRefused]] = []
        try:
            for done, (case, slot) in enumerate(work):
                while len(running) < len(work) and len(running) < done + 2 * jobs:
                    running.append(pool.submit(_cut, *work[len(running)]))
                yield case, slot, running[done].result()
        except BrokenProcessPool:
            return list(work[done:])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


_KEPT: list[tuple[PatchStore, Atlas]] = []  # of this process, so that an atlas is not sent with every case


def _keep(store: PatchStore, atlas: Atlas) -> None:
    _KEPT[:] = [(store, atlas)]


def _cut(case: Case, slot: int) -> _Cut | StudyRefused:
    """Cut the patches of one case and write them to its slot; OSError where the store cannot take them."""
    store, atlas = _KEPT[0]
    with tempfile.TemporaryDirectory(prefix="dras-case-") as folder:
        source = _files(case, Path(folder))
        try:
            found = cut(source, atlas=atlas, choices=Choices(series_uid=case.series_uid))
        except StudyRefused as refused:
            return refused
        except SetupRefused:
            raise  # no folder for temporary files, say: no case would fare better
        except Exception as defect:  # noqa: BLE001  the doorman: one case must not end a cohort of thousands
            return StudyRefused(Code.CASE_CRASHED, how=f"{type(defect).__name__} while it was prepared")
    store.write(slot, found.patches.hu)
    return _Cut(found.input_sha256, found.patches.valid)


def _files(case: Case, folder: Path) -> Path:
    return write_phantom(case.source, folder) if isinstance(case.source, PhantomSpec) else case.source


def write_phantom(spec: PhantomSpec, folder: Path) -> Path:
    """Write a phantom as the DICOM series that a patient would be; return where it lies."""
    place = folder / "series"
    options = SeriesOptions(seed=spec.seed + _OTHER_STUDY * spec.repeat, slice_thickness_mm=spec.thickness_mm)
    write_series(make_phantom(spec).volume, place, options)
    return place
