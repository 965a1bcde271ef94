"""`dras inspect`: what would be used of a study, and every warning, without computing."""

from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option, series_option
from dras_cli.progress import busy
from dras_cli.tables import print_inspection
from dras_model.inspecting import inspect as inspect_study


@click.command()
@click.argument("path", type=AnyPath)
@series_option
@json_option
def inspect(*, path: Path, series: str | None, as_json: bool) -> None:
    """Say which series of the study at PATH would be used and what would be warned."""
    with busy("reading headers"):
        found = inspect_study(path, series_uid=series)
    if as_json:
        click.echo(found.model_dump_json())
    else:
        print_inspection(found)
