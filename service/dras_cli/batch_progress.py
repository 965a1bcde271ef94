"""What a running batch shows: bars on a terminal, a line now and then elsewhere, or events as lines of JSON."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from dras_service.batch.events import Ended, Event, Hear, Looking, Planned, Progress, Tabling

_PLAIN_S = 15.0  # between two lines where standard error is no terminal
_LINES_S = 2.0  # between two lines of JSON that tell how far it is
_FREQUENT = (Looking, Progress, Tabling)
_MOST_NAME = 28


@contextmanager
def batch_lines() -> Iterator[Hear]:
    """Yield what writes each event as a line of JSON to standard output."""
    said_at = 0.0

    def say(event: Event) -> None:
        nonlocal said_at
        if isinstance(event, _FREQUENT):
            if time.monotonic() - said_at < _LINES_S:
                return
            said_at = time.monotonic()
        click.echo(json.dumps(event.document()))

    yield say


@contextmanager
def batch_screen() -> Iterator[Hear]:
    """Yield what shows events to a person on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Plain()
        return
    columns = (
        TextColumn("{task.description:<30}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console) as bars:
        yield _Screen(bars)


class _Screen:
    """One bar for all cases, and a line for each that is being computed; failures scroll above."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._main = bars.add_task("looking for studies", total=None, count="", note="")
        self._lines: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Looking():
                self._show("looking for studies", count=f"{event.n_files} files")
            case Planned():
                self._bars.console.print(_plan(event))
            case Ended(code=str()):
                self._bars.console.print(f"[yellow]{escape(_failure(event))}[/yellow]")
            case Progress():
                ended = event.done + event.failed
                note = f"{event.failed} failed, {_pace(event)}" if event.failed else _pace(event)
                self._show("studies", ended / max(event.total, 1), count=f"{ended}/{event.total}", note=note)
                self._show_running(event.running)
            case Tabling():
                self._show_running({})
                self._show("table of the cohort", event.fraction)

    def _show(self, what: str, fraction: float | None = None, *, count: str = "", note: str = "") -> None:
        total = None if fraction is None else 1.0
        self._bars.update(
            self._main, description=what, total=total, completed=fraction or 0.0, count=count, note=note
        )

    def _show_running(self, running: dict[str, str]) -> None:
        for case in [case for case in self._lines if case not in running]:
            self._bars.remove_task(self._lines.pop(case))
        for case, stage in running.items():
            if case not in self._lines:
                name = escape(f"  {case[:_MOST_NAME]}")
                self._lines[case] = self._bars.add_task(name, total=None, count="", note="")
            self._bars.update(self._lines[case], note=stage)


class _Plain:
    """Lines for a log: the plan, each failure, and the pace now and then."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event:
            case Planned():
                _say(_plan(event))
            case Ended(code=str()):
                _say(_failure(event))
            case Progress() | Looking() if time.monotonic() - self._said_at >= _PLAIN_S:
                self._said_at = time.monotonic()
                if isinstance(event, Looking):
                    _say(f"{event.n_files} files looked at")
                else:
                    _say(f"{event.done} done and {event.failed} failed of {event.total}, {_pace(event)}")


class _Unit(NamedTuple):
    name: str
    seconds: int


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _plan(event: Planned) -> str:
    others = f"; {event.others} other files are left alone" if event.others else ""
    return (
        f"{event.total} studies: {event.done} done, {event.failed} failed before, {event.waiting} to do,"
        f" {event.places} at once{others}"
    )


def _failure(event: Ended) -> str:
    again = " (it is tried once more)" if event.state == "waiting" else ""
    return f"{event.case}: {event.code}: {event.message}{again}"


def _pace(event: Progress) -> str:
    if event.per_hour is None or event.eta_s is None:
        return "no pace yet"
    return f"{event.per_hour:.0f} an hour, {duration(event.eta_s)} left"


def duration(seconds: float) -> str:
    """Write a time span in its two largest units."""
    units = (_Unit("d", 86_400), _Unit("h", 3600), _Unit("min", 60), _Unit("s", 1))
    left = round(seconds)
    for larger, smaller in pairwise(units):
        if left >= larger.seconds:
            whole, rest = divmod(left, larger.seconds)
            return f"{whole} {larger.name} {rest // smaller.seconds} {smaller.name}"
    return f"{left} s"
