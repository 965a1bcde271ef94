"""Progress bars on standard error, for people. Where it is no terminal nothing is drawn; of hours, lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dras_model.results.progress import Report
from dras_model.results.study import Stage
from dras_service.api.jobs import JobView

_PLAIN_S = 30.0  # between two lines of progress where no terminal draws a bar


@contextmanager
def stage_bars() -> Iterator[Report]:
    """Yield a report that draws one bar a stage, as the stages run."""
    with _bars() as progress:
        tasks: dict[Stage, TaskID] = {}

        def report(stage: Stage, fraction: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage.value, total=1.0)
            progress.update(tasks[stage], completed=fraction)

        yield report


@contextmanager
def upload_bar(what: str = "upload") -> Iterator[Callable[[int, int], None]]:
    """Yield a callable of bytes sent and bytes in all that draws one bar."""
    with _bars(DownloadColumn()) as progress:
        task = progress.add_task(what, total=None)

        def on_progress(sent: int, total: int) -> None:
            progress.update(task, completed=sent, total=total)

        yield on_progress


@contextmanager
def job_bar() -> Iterator[Callable[[JobView], None]]:
    """Yield a callable of a job that draws one bar with its stage."""
    with _bars() as progress:
        task = progress.add_task("queued", total=1.0)

        def on_progress(view: JobView) -> None:
            description = view.stage.value if view.stage is not None else view.state.value.replace("_", " ")
            progress.update(task, completed=view.progress, description=description)

        yield on_progress


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float], None]]:
    """Yield a callable of the fraction done that draws one bar."""
    with _bars() as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda fraction: progress.update(task, completed=fraction)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Draw that something runs whose end is not known."""
    with _bars() as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def long_bar(what: str) -> Iterator[Callable[[float, str], None]]:
    """Yield a callable of the fraction done and a line: a bar on a terminal, now and then a line elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(what, total=1.0)
        yield lambda fraction, line: bars.update(task, completed=fraction, description=line)


def _plain_lines() -> Callable[[float, str], None]:
    said = time.monotonic()

    def say(fraction: float, line: str) -> None:
        nonlocal said
        if time.monotonic() - said >= _PLAIN_S:
            said = time.monotonic()
            sys.stderr.write(f"{fraction:.1%}: {line}\n")

    return say


@contextmanager
def _bars(*columns: TextColumn | DownloadColumn) -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        *columns,
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield progress
