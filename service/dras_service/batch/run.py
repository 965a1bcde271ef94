"""The batch itself: cases go to places where they are computed, and how each ended goes into the ledger.

This process writes the ledger and computes nothing; a place is used by a thread that waits for it. What is wrong
with a study is written down and the next one is taken; what is wrong with the set-up ends the batch, which goes on
when that is mended and it is called again.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from threading import Event as Flag

from dras_client.errors import DrasClientError
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.batch.cases import Case, Failed, GivenBack, Outcome, State
from dras_service.batch.deliveries import Deliveries, SendCounts
from dras_service.batch.events import Began, Ended, Event, Hear, Looking, Planned, Progress, Tabling, eta_s
from dras_service.batch.finding import find_studies
from dras_service.batch.inventory import Inventory, Piece, pieces_of
from dras_service.batch.job import BatchJob
from dras_service.batch.ledger import Counts, FailureCount, Ledger
from dras_service.batch.places import Notes, Place
from dras_service.batch.sending import NothingToSend, Sender, Sending
from dras_service.batch.staging import staged
from dras_service.batch.table import RESULTS, Tables, write_tables
from dras_service.errors import CannotServe

ROOM = "work"  # where files of cases are put together; empty between runs
_TICK_S = 0.5
_DRAFTS = ".dras-*"  # of outputs.folder, left by a process that was killed


@dataclass(slots=True)
class Stop:
    """How a batch is stopped from outside: `drain` lets cases end that were begun, `now` gives them back."""

    drain: Flag = field(default_factory=Flag)
    now: Flag = field(default_factory=Flag)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run leaves: counts of all cases, failures by code, tables, whether it was stopped, what was sent."""

    counts: Counts
    failures: tuple[FailureCount, ...]
    tables: Tables | None
    stopped: bool
    sent: SendCounts | None = None


@dataclass(slots=True)
class _Running:
    case: Case
    place: Place
    notes: Notes
    began_at: float = field(default_factory=time.monotonic)


def run_batch(
    job: BatchJob,
    places: Sequence[Place],
    *,
    recipe: str,
    stop: Stop,
    hear: Hear,
    again: bool = False,
) -> Summary:
    """Find the studies, compute what is not done, and write the tables; `again` takes failed cases up, too.

    Raises SetupRefused and DrasClientError where it cannot go on; the ledger keeps what was done.
    """
    with Ledger(job.out, writes=True) as ledger, _tidied(job.out):
        run = ledger.begin_run(recipe)
        inventory = Inventory(ledger, run)
        heard = _heard_until(stop, hear)
        find_studies(job, ledger, inventory, recipe=recipe, tell=lambda n: heard(Looking(n)))
        ledger.end_finding(job.out / RESULTS, again=again)
        counts = ledger.counts()
        hear(
            Planned(counts.total, counts.done, counts.failed, counts.waiting, inventory.n_others, len(places))
        )
        with _sender(job, ledger, again=again) as sender:
            _Desk(job, ledger, places, stop=stop, hear=hear, sender=sender).work()
            sender.finish(stop.drain)
        stopped = stop.drain.is_set() and ledger.counts().waiting > 0
        tables = None
        if not stopped:
            tables = write_tables(job, ledger, tell=lambda fraction: heard(Tabling(fraction)))
        return Summary(
            ledger.counts(), ledger.failures_by_code(), tables, stopped, sent=Deliveries(ledger).counts()
        )


def _sender(job: BatchJob, ledger: Ledger, *, again: bool) -> Sender | NothingToSend:
    return NothingToSend() if job.send is None else Sender(job.send, ledger, job.out / RESULTS, again=again)


def _heard_until(stop: Stop, hear: Hear) -> Hear:
    """Return what passes events on and, when the batch is stopped where no case is at stake, ends it at once."""

    def heard(event: Event) -> None:
        if stop.drain.is_set():
            raise KeyboardInterrupt
        hear(event)

    return heard


@contextmanager
def _tidied(out: Path) -> Iterator[None]:
    """Remove what killed processes have left, before and after; the ledger's lock is held, no worker lives."""
    (out / RESULTS).mkdir(exist_ok=True)
    _tidy(out)
    yield
    _tidy(out)


def _tidy(out: Path) -> None:
    for folder in (out / ROOM, *(out / RESULTS).glob(_DRAFTS)):
        shutil.rmtree(folder, ignore_errors=True)


class _Desk:
    """Hands cases out and writes down what comes back."""

    def __init__(
        self,
        job: BatchJob,
        ledger: Ledger,
        places: Sequence[Place],
        *,
        stop: Stop,
        hear: Hear,
        sender: Sending,
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._free = list(places)
        self._stop = stop
        self._hear = hear
        self._sender = sender
        self._running: dict[Future[Outcome], _Running] = {}
        self._fault: SetupRefused | CannotServe | DrasClientError | None = None
        self._told_at = 0.0

    def work(self) -> None:
        """Compute until nothing waits, or until it is stopped. Raises what ends the batch."""
        places = list(self._free)
        with ThreadPoolExecutor(len(places)) as threads:
            try:
                while self._hand_out(threads):
                    done, _ = wait(self._running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._settle(self._running.pop(future), future)
                    for running in self._running.values():
                        self._note(running)
                    self._sender.look()
                    self._tell()
            finally:
                self._stop.now.set()
                for place in places:
                    place.end()
        if self._fault is not None:
            raise self._fault

    def _hand_out(self, threads: ThreadPoolExecutor) -> bool:
        """Give every free place a case; return whether any is being computed."""
        while self._free and not self._stop.drain.is_set() and self._fault is None:
            case = self._ledger.next_case()
            if case is None:
                break
            running = _Running(case, self._free.pop(), Notes())
            pieces = pieces_of(self._ledger, case.study) if case.origin == "tree" else []
            self._running[threads.submit(self._compute, running, pieces)] = running
            self._hear(Began(case.name, case.source, case.attempt))
        return bool(self._running)

    def _compute(self, running: _Running, pieces: Sequence[Piece]) -> Outcome:
        case = running.case
        if case.origin == "missing":
            return Failed.of(Code.STUDY_NOT_FOUND)
        if case.origin == "no ct":
            told = {"n_series": "the", "modalities": case.source, "reason": "the PACS says so"}
            return Failed.of(Code.NO_CT_SERIES, **told)
        try:
            with self._files(running, pieces) as source:
                out = self._job.out / RESULTS / case.name
                return running.place.compute(case, source, out, notes=running.notes)
        except StudyRefused as refused:
            return Failed(refused.code.value, str(refused))

    def _files(self, running: _Running, pieces: Sequence[Piece]) -> AbstractContextManager[Path]:
        """Return what yields the images of a case, whatever it comes from."""
        case, room = running.case, self._job.out / ROOM / running.case.name
        if case.origin == "path":
            folder = (self._job.source.manifest or Path()).parent
            return nullcontext(folder / case.study.removeprefix("path:"))
        pacs = self._job.source.pacs
        if case.origin == "pacs" and pacs is not None:
            from dras_service.batch.fetching import fetched  # noqa: PLC0415 - a batch of files needs no PACS

            return fetched(case, pacs, room, stop=self._stop.now, at=running.notes.at)
        return staged(pieces, self._job.source.folder or Path(), room)

    def _settle(self, running: _Running, future: Future[Outcome]) -> None:
        """Write down how a case ended; what ends the batch is kept until the others have ended, too."""
        case = running.case
        self._note(running)
        self._free.append(running.place)
        try:
            outcome = future.result()
        except GivenBack:
            self._ledger.give_back(case)
            return
        except (SetupRefused, CannotServe, DrasClientError) as fault:
            self._ledger.give_back(case)
            self._fault = self._fault or fault
            return
        except Exception as defect:  # noqa: BLE001 - the doorman: one case must not end a batch of thousands
            outcome = Failed.of(Code.CASE_CRASHED, how=f"{type(defect).__name__} in the batch itself")
        state = self._ledger.end(case, outcome)
        if state is State.DONE:
            self._sender.done(case.id)
        if state is State.FAILED:  # what lies there is of other images than these
            shutil.rmtree(self._job.out / RESULTS / case.name, ignore_errors=True)
        seconds = time.monotonic() - running.began_at
        failed = outcome if isinstance(outcome, Failed) else None
        code = failed.code if failed else None if state is State.DONE else Code.CASE_CRASHED.value
        message = failed.message if failed else getattr(outcome, "how", None)
        self._hear(Ended(case.name, case.source, state.value, seconds, code, message))

    def _note(self, running: _Running) -> None:
        try:
            while True:
                self._ledger.note_job(running.case, running.notes.jobs.get_nowait())
        except Empty:
            return

    def _tell(self) -> None:
        if time.monotonic() - self._told_at < _TICK_S:
            return
        self._told_at = time.monotonic()
        counts, rate = self._ledger.counts(), self._ledger.per_hour()
        stages = {running.case.name: running.notes.stage for running in self._running.values()}
        left = counts.waiting + counts.running
        self._hear(Progress(counts.total, counts.done, counts.failed, stages, rate, eta_s(left, rate)))
