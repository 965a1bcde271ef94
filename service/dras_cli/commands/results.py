"""`dras results`: what came of a job that was sent before, as numbers, files or a table."""

from contextlib import ExitStack
from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.progress import job_bar
from dras_cli.service_options import JOB_ID, Service, service_options
from dras_cli.tables import print_result
from dras_client import Job
from dras_client.tables import PATCHES, REGIONS
from dras_model.outputs.folder import new_folder

_TABLES = {"regions": REGIONS, "patches": PATCHES}


@click.command()
@click.argument("job_id", type=JOB_ID)
@service_options
@click.option("-o", "--out", type=AnyPath, help="Folder to save the result's files in.")
@click.option(
    "--file", "files", multiple=True, metavar="NAME", help="Save this file alone; may be given several times."
)
@click.option("--table", type=click.Choice(list(_TABLES)), help="Write this table as CSV to standard output.")
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@click.option("--wait", is_flag=True, help="Wait for a job that has not ended.")
@json_option
def results(
    *,
    job_id: str,
    service: Service,
    out: Path | None,
    files: tuple[str, ...],
    table: str | None,
    force: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Show what came of the job JOB_ID, and save its files."""
    if files and out is None:
        raise click.UsageError("--file needs a folder to save in: -o OUT")
    if table is not None and as_json:
        raise click.UsageError("--table is CSV: leave --json out")
    with ExitStack() as ending:
        client = ending.enter_context(service.open())
        folder = None if out is None else ending.enter_context(new_folder(out, overwrite=force))
        job = client.job(job_id)
        if wait:
            with job_bar() as on_progress:
                job.wait(on_progress=on_progress)
        content = None if table is None else job.read(_TABLES[table])
        result = job.result()
        if folder is not None:
            _save(job, folder, files)
    if content is not None:
        click.echo(content, nl=False)
    elif as_json:
        click.echo(result.model_dump_json())
    else:
        print_result(result)
    if out is not None and not as_json:
        click.echo(f"Saved in {out}.", err=content is not None)


def _save(job: Job, folder: Path, files: tuple[str, ...]) -> None:
    if not files:
        job.download(folder)
    for name in files:
        job.artifact(name, folder / Path(name).name)
