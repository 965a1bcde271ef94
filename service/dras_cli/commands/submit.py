"""`dras submit`: a study to a service, through the SDK."""

from contextlib import ExitStack
from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option, series_option
from dras_cli.progress import job_bar, upload_bar
from dras_cli.tables import print_result
from dras_client import Client
from dras_model.outputs.folder import new_folder

DEFAULT_URL = "http://127.0.0.1:8042"  # where `dras serve` listens unless told otherwise


@click.command()
@click.argument("path", type=AnyPath)
@click.option(
    "--url", default=DEFAULT_URL, show_default=True, envvar="DRAS_URL", help="Address of the service."
)
@click.option("-o", "--out", type=AnyPath, help="Folder to save the result's files in.")
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@click.option(
    "--timeout", "timeout_s", type=float, metavar="SECONDS", help="Give up waiting; the job goes on."
)
@series_option
@click.option("--bundle", metavar="NAME", help="Model bundle of the service; its default one by default.")
@json_option
def submit(
    *,
    path: Path,
    url: str,
    out: Path | None,
    force: bool,
    timeout_s: float | None,
    series: str | None,
    bundle: str | None,
    as_json: bool,
) -> None:
    """Send the study at PATH to a service, wait, and show the result."""
    with ExitStack() as ending:
        client = ending.enter_context(Client(url))
        folder = None if out is None else ending.enter_context(new_folder(out, overwrite=force))
        with upload_bar() as on_upload:
            job = client.submit(path, series=series, bundle=bundle, on_progress=on_upload)
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
