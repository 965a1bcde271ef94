"""`dras batch`: studies by the thousand, from a folder, a manifest or both, through any crash."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click

from dras_cli.batch_progress import batch_lines, batch_screen
from dras_cli.batch_tables import print_checked, print_state, print_summary
from dras_cli.boundary import INTERRUPTED, REFUSED
from dras_cli.options import AnyPath, json_option
from dras_cli.progress import busy, progress_bar
from dras_service.batch.finding import read_table
from dras_service.batch.job import Table, load_job
from dras_service.batch.ledger import Ledger
from dras_service.batch.opening import open_places, recipe_of
from dras_service.batch.run import Stop, Summary, run_batch
from dras_service.batch.sending import check_targets
from dras_service.batch.state import BatchState, state_of
from dras_service.batch.table import write_tables

_job = click.argument("job", type=AnyPath, metavar="JOB.toml")


@click.group()
def batch() -> None:
    """Process a cohort: find its studies, compute what is not done, and put all results into one table.

    JOB.toml says which studies, how and where; docs/batch.md describes it.
    """


@batch.command("run")
@_job
@click.option("--again", is_flag=True, help="Take up cases that have failed, too.")
@json_option
@click.pass_context
def run(ctx: click.Context, *, job: Path, again: bool, as_json: bool) -> None:
    """Run the batch of JOB.toml; called again, go on where it stopped.

    Ctrl-C lets the studies end that were begun; a second one gives them back. With --json, standard output has a
    JSON document a line: what happens, and at last the summary.
    """
    chosen = load_job(job)
    stop = Stop()
    with busy("opening the encoder"):
        recipe = recipe_of(chosen)
    with _stopped_by_signals(stop), batch_lines() if as_json else batch_screen() as hear:
        summary = run_batch(
            chosen, open_places(chosen, stop=stop), recipe=recipe, stop=stop, hear=hear, again=again
        )
    if as_json:
        click.echo(json.dumps({"event": "finished", **_summary(summary)}))
    else:
        print_summary(summary, out=chosen.out)
    if summary.stopped:
        ctx.exit(INTERRUPTED)
    if not summary.counts.done:
        ctx.exit(REFUSED)


@batch.command("check")
@_job
@json_option
def check(*, job: Path, as_json: bool) -> None:
    """Check JOB.toml and all that it names.

    Looks for no studies and computes nothing.
    """
    chosen = load_job(job)
    manifest = read_table(chosen)
    with busy("opening the weights"):
        recipe_of(chosen)
        if chosen.send is not None:
            check_targets(chosen.send)
        places = open_places(chosen, stop=Stop())
    n_rows = None if manifest is None else len(manifest.rows)
    told = {"valid": True, "out": str(chosen.out), "places": len(places), "manifest_rows": n_rows}
    if as_json:
        click.echo(json.dumps(told))
    else:
        print_checked(chosen, n_places=len(places), manifest=manifest)


@batch.command("status")
@_job
@json_option
def status(*, job: Path, as_json: bool) -> None:
    """Say how far the batch is; also while it runs."""
    chosen = load_job(job)
    with Ledger(chosen.out, writes=False) as ledger:
        found = state_of(chosen.out, ledger)
    if as_json:
        click.echo(json.dumps(_state(found)))
    else:
        print_state(found)


@batch.command("report")
@_job
@click.option(
    "-o", "--out", type=AnyPath, metavar="TABLE.parquet", help="cohort.parquet of the batch by default."
)
@click.option(
    "--rows",
    type=click.Choice(["regions", "studies", "patches"]),
    help="What a row is; as JOB.toml says by default.",
)
@click.option("--embeddings", is_flag=True, help="Add to each study the mean embedding of its valid patches.")
@json_option
def report(
    *,
    job: Path,
    out: Path | None,
    rows: Literal["regions", "studies", "patches"] | None,
    embeddings: bool,
    as_json: bool,
) -> None:
    """Write the table of what is done so far.

    The failures are written beside it. Also while the batch runs.
    """
    chosen = load_job(job)
    if embeddings and (rows or chosen.table.rows) != "studies":
        raise click.UsageError("--embeddings belongs to --rows studies; --rows patches has every embedding.")
    if out is not None and out.suffix != ".parquet":
        raise click.UsageError(f"the table is Parquet; give a name that ends in .parquet, not {out.name!a}.")
    table = chosen.table if rows is None else Table(rows=rows, embeddings=embeddings)
    with Ledger(chosen.out, writes=False) as ledger, progress_bar("reading results") as tell:
        tables = write_tables(chosen, ledger, out=out, table=table, tell=tell)
        summary = Summary(ledger.counts(), ledger.failures_by_code(), tables, stopped=False)
    if as_json:
        click.echo(json.dumps(_summary(summary)))
    else:
        print_summary(summary, out=chosen.out)


@contextmanager
def _stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM drain the batch, and a second one stop it at once."""

    def heard(_number: int, _frame: FrameType | None) -> None:
        if stop.drain.is_set():
            stop.now.set()
        stop.drain.set()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(summary: Summary) -> dict[str, Any]:
    tables = summary.tables
    return {
        **summary.counts._asdict(),
        "failures": {failure.code: failure.n for failure in summary.failures},
        "table": str(tables.cohort) if tables is not None and tables.cohort is not None else None,
        "failures_table": None if tables is None else str(tables.failures),
        "rows": None if tables is None else tables.n_rows,
        "stopped": summary.stopped,
        "sent": None if summary.sent is None else summary.sent._asdict(),
    }


def _state(state: BatchState) -> dict[str, Any]:
    return {
        **state.counts._asdict(),
        "at_work": state.at_work,
        "per_hour": state.per_hour,
        "eta_s": state.eta_s,
        "running_cases": [asdict(case) for case in state.running],
        "failures": {failure.code: failure.n for failure in state.failures},
        "sent": None if state.sent is None else state.sent._asdict(),
        "unsent": [unsent._asdict() for unsent in state.unsent],
    }
