"""A batch as tables on standard output: what was checked, how far it is, and what it leaves."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from dras_cli.batch_progress import duration
from dras_cli.tables import standard_output
from dras_service.batch.deliveries import SendCounts
from dras_service.batch.job import BatchJob
from dras_service.batch.ledger import FailureCount
from dras_service.batch.manifest import Manifest
from dras_service.batch.run import Summary
from dras_service.batch.state import BatchState


def print_summary(summary: Summary, *, out: Path) -> None:
    """Print how many cases ended how, why those failed that did, and where the tables lie."""
    counts, tables = summary.counts, summary.tables
    _print_failures(summary.failures)
    left = f", {counts.waiting + counts.running} left" if counts.waiting or counts.running else ""
    click.echo(f"{counts.done} done, {counts.failed} failed{left}, of {counts.total} studies.")
    _print_sent(summary.sent)
    if summary.stopped:
        click.echo("Stopped; the same command goes on. `dras batch report` writes the table of what is done.")
    if tables is None:
        return
    if tables.cohort is not None:
        click.echo(f"{tables.n_rows} rows of {tables.n_read} results are in {tables.cohort}.")
        if tables.n_read < counts.done:
            click.echo(f"{counts.done - tables.n_read} results could not be read; the failures say why.")
    click.echo(f"Failures are listed in {tables.failures}; each result has a folder in {out / 'cases'}.")


def print_state(state: BatchState) -> None:
    """Print how far a batch is."""
    counts = state.counts
    work = "at work" if state.at_work else "not running"
    click.echo(
        f"{work}: {counts.done} done, {counts.failed} failed, {counts.running} running, {counts.waiting} waiting,"
        f" of {counts.total} studies"
    )
    if state.per_hour is not None and state.eta_s is not None:
        click.echo(f"{state.per_hour:.0f} an hour, {duration(state.eta_s)} left")
    if state.at_work:
        for case in state.running:
            click.echo(f"  {case.name}, {duration(case.seconds)}")
    _print_failures(state.failures)
    _print_sent(state.sent)
    for unsent in state.unsent:
        how = "given up" if unsent.given_up else "waits"
        click.echo(f"  {unsent.case} to {unsent.target}, {how}: {unsent.fault}")


def print_checked(job: BatchJob, *, n_places: int, manifest: Manifest | None) -> None:
    """Print what a batch would do."""
    if job.source.folder is not None:
        click.echo(f"Studies below {job.source.folder}.")
    if job.source.pacs is not None and manifest is None:
        click.echo(f"Studies of the PACS {job.source.pacs.peer}.")
    if manifest is not None:
        carried = f", carrying {', '.join(manifest.carried)}" if manifest.carried else ""
        click.echo(f"{len(manifest.rows)} studies named by {job.source.manifest}{carried}.")
    where = "on this machine" if job.service is None else f"by {job.service.url}"
    click.echo(f"Computed {where}, {n_places} at once; results go to {job.out}.")


def _print_sent(counts: SendCounts | None) -> None:
    if counts is None:
        return
    click.echo(f"Sent to a PACS: {counts.sent}, waiting {counts.waiting}, given up {counts.given_up}.")
    if counts.waiting or counts.given_up:
        click.echo("`dras batch run` sends what waits, with --again what was given up as well.")


def _print_failures(failures: Sequence[FailureCount]) -> None:
    if not failures:
        return
    table = Table(
        title="Failures", title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("code", no_wrap=True)
    table.add_column("studies", justify="right")
    table.add_column("for example")
    for failure in failures:
        table.add_row(failure.code, str(failure.n), escape(failure.example))
    standard_output().print(table)
