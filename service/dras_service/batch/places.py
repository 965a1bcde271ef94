"""What a place is where a case is computed, on this machine or by a service, and what is told meanwhile."""

from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from dras_service.batch.cases import Case, Outcome


class Notes:
    """What the thread of a place tells while a case is computed; read by the batch's own thread."""

    def __init__(self) -> None:
        self.stage = ""
        self.jobs: SimpleQueue[str] = SimpleQueue()

    def at(self, stage: str, fraction: float) -> None:
        """Tell where the case is."""
        self.stage = f"{stage} {fraction:.0%}" if 0.0 < fraction < 1.0 else stage

    def accepted(self, job_id: str) -> None:
        """Tell under which id a service has taken the case."""
        self.jobs.put(job_id)


class Place(Protocol):
    """Where one case is computed at a time."""

    def compute(self, case: Case, source: Path, out: Path, *, notes: Notes) -> Outcome:
        """Leave the result of `source` in the folder `out`.

        Raises SetupRefused and DrasClientError where no case would fare better, GivenBack when it is stopped.
        """

    def end(self) -> None:
        """Let go of whatever computes."""
