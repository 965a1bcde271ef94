"""How far a batch is, read from its ledger by anybody at any time."""

import time
from dataclasses import dataclass
from pathlib import Path

from dras_service.batch.cases import State
from dras_service.batch.deliveries import Deliveries, SendCounts, Unsent
from dras_service.batch.events import eta_s
from dras_service.batch.ledger import Counts, FailureCount, Ledger, is_at_work


@dataclass(frozen=True, slots=True)
class RunningCase:
    """A case that is being computed, and for how long."""

    name: str
    source: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchState:
    """Counts, rate, what runs, has failed and was sent; `at_work` says whether a run holds the ledger."""

    counts: Counts
    at_work: bool
    per_hour: float | None
    eta_s: float | None
    running: tuple[RunningCase, ...]
    failures: tuple[FailureCount, ...]
    sent: SendCounts | None = None
    unsent: tuple[Unsent, ...] = ()


def state_of(out: Path, ledger: Ledger) -> BatchState:
    """Return the state of the batch in `out`."""
    at_work, counts = is_at_work(out), ledger.counts()
    rate = ledger.per_hour() if at_work else None
    now = time.time()
    running = tuple(
        RunningCase(row["name"], row["source"], now - row["began_at"]) for row in ledger.rows(State.RUNNING)
    )
    left = counts.waiting + counts.running
    deliveries = Deliveries(ledger)
    return BatchState(
        counts,
        at_work,
        rate,
        eta_s(left, rate),
        running,
        ledger.failures_by_code(),
        deliveries.counts(),
        deliveries.unsent(),
    )
