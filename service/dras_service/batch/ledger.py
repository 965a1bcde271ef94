"""The ledger of a batch: every case with its state, in a SQLite file that a crash cannot damage (decision 0059).

A case is written down as running before it is begun and as ended after its result lies in its folder, each in a
transaction of its own that is on the disk when it returns. One process writes, others may look at any time. Leaves
out where the files of a case lie: `inventory`.
"""

import fcntl
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.cases import Case, Done, Failed, Found, Lost, Outcome, State, key_of

LEDGER, LOCK = "ledger.sqlite3", "ledger.lock"
MOST_DEATHS = 2  # of the process that computed a case, before the case is given up
MOST_INTERRUPTIONS = 5  # of the whole batch while a case was computed: it may be what ends the machine
_VERSION = 1
_BUSY_S = 30.0
_RECENT = 64  # ended cases that a rate is taken of
_SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
    id INTEGER PRIMARY KEY, study TEXT NOT NULL, series_uid TEXT NOT NULL, name TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL, source TEXT NOT NULL, study_uid TEXT NOT NULL, n_images INTEGER NOT NULL,
    carried TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, seen INTEGER NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0, interruptions INTEGER NOT NULL DEFAULT 0, job_id TEXT,
    status TEXT, code TEXT, message TEXT, began_at REAL, ended_at REAL, sent_at REAL,
    UNIQUE (study, series_uid)
);
CREATE INDEX IF NOT EXISTS cases_state ON cases (state, deaths, interruptions, id);
CREATE INDEX IF NOT EXISTS cases_ended ON cases (ended_at);
CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, began_at REAL NOT NULL, recipe TEXT NOT NULL);
"""


class Counts(NamedTuple):
    """How many cases are where."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All cases."""
        return sum(self)


class FailureCount(NamedTuple):
    """How many cases failed with a code, and what was said of one of them."""

    code: str
    n: int
    example: str


class Ledger:
    """The open ledger of an output folder. `writes` takes the lock that keeps a second run out."""

    def __init__(self, folder: Path, *, writes: bool) -> None:
        """Open it, made if absent where it `writes`. Raises SetupRefused."""
        self.path = folder / LEDGER
        self._lock = _locked(folder) if writes else None
        with _told(folder):
            if not writes and not self.path.exists():
                raise SetupRefused(Code.LEDGER_INVALID, path=str(folder), reason="no batch was run into it")
            self.connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            self.connection.row_factory = sqlite3.Row
            if writes:
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
                self.connection.executescript(_SCHEMA)
            self._check_version(folder, writes=writes)
        self._run = 0

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self.connection.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that is kept whole or not at all. Raises SetupRefused OUTPUT_NOT_WRITABLE."""
        with _told(self.path.parent):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def begin_run(self, recipe: str) -> int:
        """Begin a run and return its number; cases that the last one has left running were interrupted."""
        with self.writing() as connection:
            self._run = connection.execute(
                "INSERT INTO runs (began_at, recipe) VALUES (?, ?)", (time.time(), recipe)
            ).lastrowid or 0  # fmt: skip
            connection.execute(
                "UPDATE cases SET state = 'waiting', interruptions = interruptions + 1 WHERE state = 'running'"
            )
            told = _crashed(f"the batch was ended {MOST_INTERRUPTIONS} times while it ran")
            connection.execute(
                "UPDATE cases SET state = 'failed', code = ?, message = ?, ended_at = ?"
                " WHERE state = 'waiting' AND interruptions >= ?",
                (told.code, told.message, time.time(), MOST_INTERRUPTIONS),
            )
        return self._run

    def take_in(self, found: Iterable[Found], recipe: str) -> None:
        """Write down what the source offers; a case whose images or recipe changed waits again."""
        with self.writing() as connection:
            for each in found:
                connection.execute(
                    "INSERT INTO cases (study, series_uid, name, origin, source, study_uid, n_images, carried, key,"
                    " state, seen) VALUES (:study, :series, :name, :origin, :source, :uid, :n, :carried, :key,"
                    " 'waiting', :run) ON CONFLICT (study, series_uid) DO UPDATE SET origin = :origin,"
                    " source = :source, study_uid = :uid, n_images = :n, carried = :carried, seen = :run,"
                    " state = CASE WHEN key = :key THEN state ELSE 'waiting' END,"
                    " deaths = CASE WHEN key = :key THEN deaths ELSE 0 END,"
                    " interruptions = CASE WHEN key = :key THEN interruptions ELSE 0 END,"
                    " job_id = CASE WHEN key = :key THEN job_id END, key = :key",
                    {
                        "study": each.study,
                        "series": each.series_uid or "",
                        "name": each.name,
                        "origin": each.origin,
                        "source": each.source,
                        "uid": each.study_uid,
                        "n": each.n_images,
                        "carried": json.dumps(dict(each.carried)),
                        "key": key_of(each.identity, recipe),
                        "run": self._run,
                    },
                )

    def end_finding(self, results: Path, *, again: bool = False) -> None:
        """Forget cases that are gone without a result; let those wait whose result was taken away.

        `again` lets failed cases wait, too; a service's job stays theirs, which tells it from one never sent.
        """
        gone = [
            row["id"]
            for row in self.connection.execute("SELECT id, name FROM cases WHERE state = 'done'")
            if not (results / row["name"] / "result.json").is_file()
        ]
        with self.writing() as connection:
            connection.executemany(
                "UPDATE cases SET state = 'waiting' WHERE id = ?", [(id_,) for id_ in gone]
            )
            connection.execute("DELETE FROM cases WHERE seen < ? AND state != 'done'", (self._run,))
            if again:
                connection.execute(
                    "UPDATE cases SET state = 'waiting', deaths = 0, interruptions = 0 WHERE state = 'failed'"
                )

    def next_case(self) -> Case | None:
        """Take the next case up: those that brought something down come last. None where none waits."""
        row = self.connection.execute(
            "SELECT * FROM cases WHERE state = 'waiting' ORDER BY deaths, interruptions, id LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        with self.writing() as connection:
            connection.execute(
                "UPDATE cases SET state = 'running', began_at = ?, ended_at = NULL, code = NULL, message = NULL,"
                " status = NULL WHERE id = ?",
                (time.time(), row["id"]),
            )
        return Case(
            id=row["id"],
            study=row["study"],
            origin=row["origin"],
            name=row["name"],
            source=row["source"],
            study_uid=row["study_uid"],
            series_uid=row["series_uid"] or None,
            key=row["key"],
            attempt=1 + row["deaths"] + row["interruptions"],
            job_id=row["job_id"],
        )

    def note_job(self, case: Case, job_id: str) -> None:
        """Write down under which id the service knows a case."""
        with self.writing() as connection:
            connection.execute("UPDATE cases SET job_id = ? WHERE id = ?", (job_id, case.id))

    def end(self, case: Case, outcome: Outcome) -> State:
        """Write down how a case ended, and return its state; a process that was lost is forgiven once."""
        if isinstance(outcome, Lost) and self._deaths(case) + 1 < MOST_DEATHS:
            with self.writing() as connection:
                connection.execute(
                    "UPDATE cases SET state = 'waiting', deaths = deaths + 1 WHERE id = ?", (case.id,)
                )
            return State.WAITING
        ended = _crashed(outcome.how) if isinstance(outcome, Lost) else outcome
        state = State.DONE if isinstance(ended, Done) else State.FAILED
        told = (ended.status, None, None) if isinstance(ended, Done) else (None, ended.code, ended.message)
        with self.writing() as connection:
            connection.execute(
                "UPDATE cases SET state = ?, status = ?, code = ?, message = ?, ended_at = ? WHERE id = ?",
                (state, *told, time.time(), case.id),
            )
        return state

    def give_back(self, case: Case) -> None:
        """Let a case wait again, as if it had not been begun."""
        with self.writing() as connection:
            connection.execute("UPDATE cases SET state = 'waiting' WHERE id = ?", (case.id,))

    def counts(self) -> Counts:
        """Count the cases by state."""
        return Counts(**dict(self.connection.execute("SELECT state, COUNT(*) FROM cases GROUP BY state")))

    def failures_by_code(self) -> tuple[FailureCount, ...]:
        """Count the failed cases by code, the most frequent first."""
        found = self.connection.execute(
            "SELECT code, COUNT(*) AS n, MIN(message) AS example FROM cases WHERE state = 'failed'"
            " GROUP BY code ORDER BY n DESC, code"
        )
        return tuple(FailureCount(*row) for row in found)

    def rows(self, state: State) -> Iterator[Mapping[str, Any]]:
        """Yield the cases of a state, failed ones by code, others by name."""
        yield from self.connection.execute(
            "SELECT * FROM cases WHERE state = ? ORDER BY COALESCE(code, ''), name", (state,)
        )

    def per_hour(self) -> float | None:
        """Return how many cases end in an hour, by those of the last run that ended lately; None for none."""
        run_began_at = self.connection.execute("SELECT MAX(began_at) FROM runs").fetchone()[0] or 0.0
        query = "SELECT ended_at FROM cases WHERE ended_at >= ? ORDER BY ended_at DESC LIMIT ?"
        ended = [row[0] for row in self.connection.execute(query, (run_began_at, _RECENT + 1))]
        if not ended:
            return None
        if len(ended) > _RECENT:
            since = ended.pop()
        else:
            query = "SELECT MIN(began_at) FROM cases WHERE began_at >= ?"
            since = self.connection.execute(query, (run_began_at,)).fetchone()[0] or run_began_at
        return 3600.0 * len(ended) / max(time.time() - float(since), 1e-3)

    def _deaths(self, case: Case) -> int:
        row = self.connection.execute("SELECT deaths FROM cases WHERE id = ?", (case.id,)).fetchone()
        return int(row[0])

    def _check_version(self, folder: Path, *, writes: bool) -> None:
        found = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0 and writes:
            self.connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif found != _VERSION:
            reason = f"it is of version {found}, this dras reads version {_VERSION}"
            raise SetupRefused(Code.LEDGER_INVALID, path=str(folder), reason=reason)


def is_at_work(folder: Path) -> bool:
    """Whether a run holds the lock of an output folder."""
    try:
        with (folder / LOCK).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _crashed(how: str) -> Failed:
    return Failed.of(Code.CASE_CRASHED, how=how)


def _locked(folder: Path) -> Any:
    """Take the lock for as long as this process lives. Raises SetupRefused LEDGER_BUSY."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            file.close()
            raise SetupRefused(Code.LEDGER_BUSY, path=str(folder)) from held
        return file


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell the faults of a place, or of the file in it, as its refusal."""
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or "writing failed"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(folder), reason=reason) from fault
    except sqlite3.OperationalError as fault:  # a full or a read-only disk, a lock that is never let go
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(folder), reason=str(fault)) from fault
    except sqlite3.DatabaseError as fault:
        raise SetupRefused(Code.LEDGER_INVALID, path=str(folder), reason=str(fault)) from fault
