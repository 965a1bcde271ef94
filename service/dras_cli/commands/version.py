"""`dras version`."""

import json
import platform

import click

from dras_cli.options import json_option
from dras_model import __version__


@click.command()
@json_option
def version(*, as_json: bool) -> None:
    """Show the version."""
    if as_json:
        click.echo(json.dumps({"dras": __version__, "python": platform.python_version()}))
    else:
        click.echo(f"dras {__version__} (Python {platform.python_version()})")
