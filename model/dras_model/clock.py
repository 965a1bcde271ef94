"""How long each stage of a study took and what it needed, told to whoever listens. Leaves out what a stage does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dras_model.peak_memory import forget_peak, peak_rss_mb
from dras_model.results.progress import Report, silent
from dras_model.results.study import Stage


@dataclass(slots=True)
class Clock:
    """Seconds per stage, and the stage's start and end told to whoever listens; one for each study."""

    report: Report = silent
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        forget_peak()

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time one stage and report 0 and 1 around it."""
        self.report(stage, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[stage.value] = time.perf_counter() - started
        self.report(stage, 1.0)

    def summary(self) -> dict[str, float]:
        """Seconds per stage so far, their total, and the peak memory in MB since this clock was made."""
        return {**self.seconds, "total": sum(self.seconds.values()), "peak_rss_mb": peak_rss_mb()}
