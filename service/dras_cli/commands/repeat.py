"""`dras repeat`: a study run again from the provenance of its result, and what came out otherwise."""

import json
from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.progress import stage_bars
from dras_model.repeating import repeat as repeat_run


@click.command()
@click.argument("result", type=AnyPath)
@click.argument("path", type=AnyPath)
@click.option(
    "-o", "--out", type=AnyPath, required=True, help="Folder for the outputs; appears when complete."
)
@click.option(
    "--lung-mask", type=AnyPath, metavar="MASK", help="The mask of the lungs, where the run had one."
)
@click.option("--lobes", type=AnyPath, metavar="MASK", help="The mask of the lobes, where the run had one.")
@click.option("--bundle", type=AnyPath, help="The model bundle, where the library does not have it.")
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@json_option
def repeat(
    *,
    result: Path,
    path: Path,
    out: Path,
    lung_mask: Path | None,
    lobes: Path | None,
    bundle: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Run the study at PATH again as RESULT says that it was run, and say what of the result differs."""
    with stage_bars() as report:
        _, found = repeat_run(
            result, path, out, lung_mask=lung_mask, lobes=lobes, bundle=bundle, report=report, overwrite=force
        )
    if as_json:
        click.echo(json.dumps({"folder": str(out), "differs": found}))
    else:
        said = (
            f"It differs in {', '.join(found)}." if found else "The result is the same but for its timings."
        )
        click.echo(f"{said} Written to {out}.")
