"""`dras submit`: a study to a service, through the SDK."""

from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option, series_option
from dras_cli.progress import job_bar, upload_bar
from dras_cli.tables import print_result
from dras_client import Client


@click.command()
@click.argument("path", type=AnyPath)
@click.option("--url", required=True, envvar="DRAS_URL", show_envvar=True, help="Address of the service.")
@click.option("-o", "--out", type=AnyPath, help="Folder to save the result's files in.")
@click.option(
    "--timeout", "timeout_s", type=float, metavar="SECONDS", help="Give up waiting; the job goes on."
)
@series_option
@json_option
def submit(
    *, path: Path, url: str, out: Path | None, timeout_s: float | None, series: str | None, as_json: bool
) -> None:
    """Send the study at PATH to a service, wait, and show the result."""
    with Client(url) as client:
        with upload_bar() as on_upload:
            job = client.submit(path, series=series, on_progress=on_upload)
        with job_bar() as on_progress:
            job.wait(timeout_s, on_progress)
        result = job.result()
        if out is not None:
            job.download(out)
    if as_json:
        click.echo(result.model_dump_json())
        return
    print_result(result)
    if out is not None:
        click.echo(f"Saved in {out}.")
