"""`dras compare`: stored results of one person against the first of them; no CT is needed."""

from pathlib import Path

import click

from dras_cli.options import AnyPath, FiniteRange, json_option
from dras_cli.paired_tables import print_comparison
from dras_model.longitudinal import compare as compare_stored


@click.command()
@click.argument("baseline", type=AnyPath)
@click.argument("followups", type=AnyPath, nargs=-1, required=True, metavar="FOLLOWUP...")
@click.option(
    "-o", "--out", type=AnyPath, required=True, help="Folder for the outputs; appears when complete."
)
@click.option(
    "--interval-years",
    type=FiniteRange(),
    metavar="YEARS",
    multiple=True,
    help="Years from the baseline to each follow-up, in their order; results hold no dates.",
)
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@json_option
def compare(
    *,
    baseline: Path,
    followups: tuple[Path, ...],
    out: Path,
    interval_years: tuple[float, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Say how each FOLLOWUP differs from BASELINE, and what speaks against reading that as change.

    Each is an output folder of `dras extract`, or its result.json alone.
    """
    try:
        result = compare_stored((baseline, *followups), out, interval_years=interval_years, overwrite=force)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    if as_json:
        click.echo(result.model_dump_json())
    else:
        print_comparison(result)
        click.echo(f"Written to {out}.")
