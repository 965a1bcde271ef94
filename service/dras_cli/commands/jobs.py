"""`dras status`, `jobs`, `cancel` and `events`: what a service does, and an end to it."""

import itertools
from datetime import datetime

import click
from rich.table import Table

from dras_cli.options import json_option
from dras_cli.service_options import JOB_ID, Service, service_options
from dras_cli.tables import standard_output
from dras_service.api.jobs import JobState, JobView


@click.command()
@click.argument("job_id", type=JOB_ID)
@service_options
@json_option
def status(*, job_id: str, service: Service, as_json: bool) -> None:
    """Say where the job JOB_ID is."""
    with service.open() as client:
        view = client.job(job_id).view
    show_jobs([view], as_json=as_json, one=True)


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in JobState]),
    help="Only jobs in this state; may be given several times.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@service_options
@json_option
def jobs(*, states: tuple[str, ...], limit: int, service: Service, as_json: bool) -> None:
    """List the jobs, newest first."""
    with service.open() as client:
        found = client.jobs(states=tuple(map(JobState, states)))
        views = [job.view for job in itertools.islice(found, limit)]
    show_jobs(views, as_json=as_json)


@click.command()
@click.argument("job_id", type=JOB_ID)
@service_options
@json_option
def cancel(*, job_id: str, service: Service, as_json: bool) -> None:
    """Cancel the job JOB_ID; one that has ended stays as it is."""
    with service.open() as client:
        view = client.job(job_id).cancel()
    show_jobs([view], as_json=as_json, one=True)


@click.command()
@click.argument("job_id", type=JOB_ID, required=False)
@service_options
@json_option
def events(*, job_id: str | None, service: Service, as_json: bool) -> None:
    """Follow the job JOB_ID to its end, or all jobs until Ctrl-C; with --json a document a line."""
    with service.open() as client:
        for event in client.events(job_id):
            if as_json:
                click.echo(event.model_dump_json())
            else:
                stage = "" if event.stage is None else f" {event.stage}"
                code = "" if event.code is None else f" ({event.code})"
                click.echo(
                    f"{_time(event.at)} {event.job_id} {event.state}{stage} {event.progress:.0%}{code}"
                )


def show_jobs(views: list[JobView], *, as_json: bool, one: bool = False) -> None:
    """Print jobs as a table, or as JSON: a list, or `one` alone."""
    if as_json:
        shown = [view.model_dump_json() for view in views]
        click.echo(shown[0] if one else f"[{','.join(shown)}]")
        return
    table = Table("job", "state", "stage", "progress", "attempts", "since", "code", box=None)
    for view in views:
        stopping = view.cancel_requested and not view.state.is_terminal
        state = f"{view.state} (stopping)" if stopping else view.state
        row = (view.id, state, view.stage or "", f"{view.progress:.0%}", str(view.attempts))
        table.add_row(*row, _time(view.created_at), view.code or "")
    standard_output().print(table)


def _time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
