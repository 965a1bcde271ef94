"""`dras demo`: the whole service once on one study; `make demo` calls it."""

from pathlib import Path

import click

from dras_cli.demo import run_demo
from dras_cli.options import AnyPath


@click.command(hidden=True)
@click.argument("study", type=AnyPath, required=False)
@click.option("-o", "--out", type=AnyPath, default=Path("demo-output"), show_default=True)
def demo(*, study: Path | None, out: Path) -> None:
    """Serve, upload STUDY or a synthetic one, wait, show the scores, save all outputs, and stop."""
    run_demo(study, out)
