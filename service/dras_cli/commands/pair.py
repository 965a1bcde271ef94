"""`dras pair`: an inspiration and an expiration of one person, scored together, in this process."""

from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.paired_tables import print_pair
from dras_cli.progress import stage_bars
from dras_model.paired import PairChoices
from dras_model.paired import pair as pair_scans
from dras_model.scores.limits import Limits, read_limits


@click.command()
@click.argument("inspiration", type=AnyPath)
@click.argument("expiration", type=AnyPath)
@click.option(
    "-o", "--out", type=AnyPath, required=True, help="Folder for the outputs; appears when complete."
)
@click.option("--inspiration-series", metavar="UID", help="Series Instance UID; the best one by default.")
@click.option("--expiration-series", metavar="UID", help="Series Instance UID; the best one by default.")
@click.option("--segmenter", metavar="MODULE:FUNCTION", help="A lung segmenter in the place of ours.")
@click.option(
    "--inspiration-lobes", type=AnyPath, metavar="FILE", help="Label map of its lobes, on its voxels."
)
@click.option(
    "--expiration-lobes", type=AnyPath, metavar="FILE", help="The same; the PRM is given of these lobes."
)
@click.option("--limits", type=AnyPath, metavar="FILE.toml", help="Other limits of scores and warnings.")
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@json_option
def pair(  # noqa: PLR0913 - one argument an option
    *,
    inspiration: Path,
    expiration: Path,
    out: Path,
    inspiration_series: str | None,
    expiration_series: str | None,
    segmenter: str | None,
    inspiration_lobes: Path | None,
    expiration_lobes: Path | None,
    limits: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Score the CT at INSPIRATION and the one at EXPIRATION together: gas trapping, E/I, PRM.

    Each is a DICOM folder or file, a zip or tar of one, or a NIfTI file in HU.
    """
    choices = PairChoices(
        inspiration_uid=inspiration_series,
        expiration_uid=expiration_series,
        segmenter=segmenter,
        inspiration_lobes=inspiration_lobes,
        expiration_lobes=expiration_lobes,
        limits=Limits() if limits is None else read_limits(limits),
    )
    with stage_bars() as report:
        result = pair_scans(inspiration, expiration, out, choices=choices, report=report, overwrite=force)
    if as_json:
        click.echo(result.model_dump_json())
    else:
        print_pair(result)
        click.echo(f"Written to {out}.")
