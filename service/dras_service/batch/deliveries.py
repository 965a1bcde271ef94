"""What of a batch's results goes to other systems: in the ledger beside the cases, kept through any crash.

A delivery belongs to a result: of a case that was computed again the new one is sent. How is left to `sending`.
"""

import sqlite3
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from dras_service.batch.ledger import Ledger

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent_objects (
    case_id INTEGER NOT NULL, target TEXT NOT NULL, uid TEXT NOT NULL, PRIMARY KEY (case_id, target, uid)
);
CREATE TABLE IF NOT EXISTS deliveries (
    case_id INTEGER NOT NULL, target TEXT NOT NULL, result_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0, done_at REAL, fault TEXT, PRIMARY KEY (case_id, target)
);
"""
_OF_RESULTS = "FROM deliveries JOIN cases ON cases.id = case_id WHERE state = 'done'"


class Delivery(NamedTuple):
    """One result on its way to one system; `attempts` counts those that were made."""

    case_id: int
    name: str
    target: str
    result_at: float
    attempts: int


class SendCounts(NamedTuple):
    """How many deliveries are where."""

    sent: int = 0
    waiting: int = 0
    given_up: int = 0


class KnownStudy(NamedTuple):
    """How many images a study had, and how many objects of ours were sent to lie beside them."""

    n_images: int
    n_ours: int

    def n_images_of(self, n_there: int) -> int:
        """Return how many images a study has of which a PACS counts so many: ours, or some of them, are none."""
        is_as_it_was = self.n_images <= n_there <= self.n_images + self.n_ours
        return self.n_images if is_as_it_was else n_there - self.n_ours


class Unsent(NamedTuple):
    """A delivery that was given up, or waits after a failure."""

    case: str
    target: str
    fault: str
    given_up: bool


class Deliveries:
    """Writes and reads them; `plan` makes those of results that have none yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def plan(self, targets: Sequence[str], *, case_id: int | None = None, again: bool = False) -> None:
        """Write deliveries of every result, or one case's; `again` takes those up that were given up."""
        with self._ledger.writing() as connection:
            for statement in _SCHEMA.split(";")[:-1]:  # a script would end the transaction
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO deliveries (case_id, target, result_at)"
                " SELECT id, ?, ended_at FROM cases WHERE state = 'done' AND id = COALESCE(?, id)"
                " ON CONFLICT (case_id, target) DO UPDATE SET result_at = excluded.result_at, attempts = 0,"
                " not_before = 0, done_at = NULL, fault = NULL WHERE result_at != excluded.result_at",
                [(target, case_id) for target in targets],
            )
            if again:
                connection.execute(
                    "UPDATE deliveries SET attempts = 0, not_before = 0, done_at = NULL, fault = NULL"
                    " WHERE done_at IS NOT NULL AND fault IS NOT NULL"
                )

    def next_due(self, targets: Sequence[str]) -> Delivery | None:
        """Return a delivery to one of the targets whose time has come, or None."""
        marks = ", ".join("?" * len(targets))
        row = self._ledger.connection.execute(
            f"SELECT case_id, name, target, result_at, attempts {_OF_RESULTS} AND done_at IS NULL"
            f" AND not_before <= ? AND target IN ({marks}) ORDER BY not_before, case_id LIMIT 1",
            (time.time(), *targets),
        ).fetchone()
        return None if row is None else Delivery(*row)

    def waits(self, targets: Sequence[str]) -> bool:
        """Whether a delivery to one of the targets waits, due or not."""
        marks = ", ".join("?" * len(targets))
        query = f"SELECT 1 {_OF_RESULTS} AND done_at IS NULL AND target IN ({marks}) LIMIT 1"
        return self._ledger.connection.execute(query, tuple(targets)).fetchone() is not None

    def begin(self, delivery: Delivery, uids: Collection[str]) -> None:
        """Write down which SOP instances are about to be sent: of a delivery that breaks off some may arrive."""
        with self._ledger.writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO sent_objects VALUES (?, ?, ?)",
                [(delivery.case_id, delivery.target, uid) for uid in uids],
            )

    def sent(self, delivery: Delivery) -> None:
        """Write down that the other system has it."""
        self._end(delivery, fault=None, done_at=time.time(), not_before=0.0)

    def known_at(self, target: str) -> dict[str, KnownStudy]:
        """Return by study what the target has of it and from here: a PACS counts both as the study's."""
        if self.counts() is None:
            return {}
        rows = self._ledger.connection.execute(
            "SELECT study_uid, MAX(n_images), COUNT(DISTINCT uid) FROM sent_objects"
            " JOIN cases ON cases.id = case_id WHERE target = ? GROUP BY study_uid",
            (target,),
        )
        return {study_uid: KnownStudy(*counted) for study_uid, *counted in rows}

    def failed(self, delivery: Delivery, *, fault: str, pause_s: float | None) -> None:
        """Write down why it failed, and until when it waits; without a pause it is given up."""
        done_at = time.time() if pause_s is None else None
        self._end(delivery, fault=fault, done_at=done_at, not_before=time.time() + (pause_s or 0.0))

    def counts(self) -> SendCounts | None:
        """Count them; None where the batch has sent nothing ever."""
        try:
            row = self._ledger.connection.execute(
                "SELECT SUM(done_at IS NOT NULL AND fault IS NULL), SUM(done_at IS NULL),"
                f" SUM(done_at IS NOT NULL AND fault IS NOT NULL) {_OF_RESULTS}"
            ).fetchone()
        except (
            sqlite3.OperationalError
        ):  # no such table: an earlier version's ledger, or a batch that sends nothing
            return None
        return SendCounts(*(count or 0 for count in row))

    def unsent(self) -> tuple[Unsent, ...]:
        """Return those that have failed, given up first, by name; none where nothing was sent ever."""
        if self.counts() is None:
            return ()
        rows = self._ledger.connection.execute(
            f"SELECT name, target, fault, done_at IS NOT NULL {_OF_RESULTS} AND fault IS NOT NULL"
            " ORDER BY done_at IS NULL, name, target"
        )
        return tuple(Unsent(name, target, fault, bool(given_up)) for name, target, fault, given_up in rows)

    def _end(
        self, delivery: Delivery, *, fault: str | None, done_at: float | None, not_before: float
    ) -> None:
        with self._ledger.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = ?, not_before = ?, done_at = ?, fault = ?"
                " WHERE case_id = ? AND target = ? AND result_at = ?",  # a later result waits for its own
                (delivery.attempts + 1, not_before, done_at, fault, *delivery[:1], *delivery[2:4]),
            )
