"""What a batch tells while it runs: to a person as bars and lines, to a program as a line of JSON each."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all; `kind` is the event's name in JSON."""

    kind: ClassVar[str] = ""

    def document(self) -> dict[str, Any]:
        """Return the event as JSON has it."""
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Looking(Event):
    """Files of the source that were looked at so far."""

    kind: ClassVar[str] = "looking"
    n_files: int


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """What there is and what is left to do; `others` are files that are no images."""

    kind: ClassVar[str] = "planned"
    total: int
    done: int
    failed: int
    waiting: int
    others: int
    places: int


@dataclass(frozen=True, slots=True)
class Began(Event):
    """A case was taken up."""

    kind: ClassVar[str] = "began"
    case: str
    source: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """A case has ended; `state` is waiting where it will be tried once more."""

    kind: ClassVar[str] = "ended"
    case: str
    source: str
    state: str
    seconds: float
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Where the batch is; `running` says which stage each case is at."""

    kind: ClassVar[str] = "progress"
    total: int
    done: int
    failed: int
    running: dict[str, str]
    per_hour: float | None
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class Tabling(Event):
    """The cohort's table is being written."""

    kind: ClassVar[str] = "tabling"
    fraction: float


Hear: TypeAlias = Callable[[Event], None]


def eta_s(left: int, per_hour: float | None) -> float | None:
    """Return how long what is left takes at a rate, None where that is not known."""
    return None if per_hour is None or per_hour <= 0 else 3600.0 * left / per_hour
