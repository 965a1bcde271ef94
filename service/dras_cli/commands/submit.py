"""`dras submit`: a study to a service, through the SDK."""

from contextlib import ExitStack
from pathlib import Path

import click

from dras_cli.commands.jobs import show_jobs
from dras_cli.options import AnyPath, json_option
from dras_cli.progress import job_bar, upload_bar
from dras_cli.service_options import GREETING_S, UPLOAD_S, Service, Wishes, service_options, wish_options
from dras_cli.tables import print_result
from dras_model.outputs.folder import new_folder


@click.command()
@click.argument("path", type=AnyPath)
@service_options
@click.option("-o", "--out", type=AnyPath, help="Folder to save the result's files in.")
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@click.option(
    "--timeout", "timeout_s", type=float, metavar="SECONDS", help="Give up waiting; the job goes on."
)
@click.option("--no-wait", is_flag=True, help="Only send it; `dras results` fetches what comes of it.")
@wish_options
@json_option
def submit(
    *,
    path: Path,
    service: Service,
    out: Path | None,
    force: bool,
    timeout_s: float | None,
    no_wait: bool,
    wishes: Wishes,
    as_json: bool,
) -> None:
    """Send the study at PATH to a service, wait, and show the result."""
    if no_wait and (out is not None or timeout_s is not None):
        raise click.UsageError("--no-wait neither saves nor gives up: leave -o and --timeout out")
    with ExitStack() as ending:
        client = ending.enter_context(service.open(retry_for_s=UPLOAD_S))
        folder = None if out is None else ending.enter_context(new_folder(out, overwrite=force))
        if path.exists():  # what is not there is refused without asking anybody
            with service.open(retry_for_s=GREETING_S) as first:
                first.health()
        with upload_bar() as on_upload:
            job = client.submit(
                path,
                series=wishes.series,
                bundle=wishes.bundle,
                options=wishes.options,
                priority=wishes.priority,
                repeat=wishes.repeat,
                on_progress=on_upload,
            )
        if no_wait:
            show_jobs([job.view], as_json=as_json, one=True)
            return
        if not as_json:
            click.echo(f"Job {job.id}; it goes on when this command ends.", err=True)
        with job_bar() as on_progress:
            job.wait(timeout_s, on_progress)
        result = job.result()
        if folder is not None:
            job.download(folder)
    if as_json:
        click.echo(result.model_dump_json())
        return
    print_result(result)
    if out is not None:
        click.echo(f"Saved in {out}.")
