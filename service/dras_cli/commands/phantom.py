"""`dras phantom`: a synthetic chest CT whose truth is known."""

from pathlib import Path
from typing import Any

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.phantoms import write_phantom
from dras_cli.progress import busy
from dras_model.imaging.phantom import Emphysema, PhantomSpec
from dras_model.imaging.phantom.spec import COVERAGE_MM, PLACES, EmphysemaKind, Kernel
from dras_model.results.study import Region

_KINDS = [kind.value for kind in EmphysemaKind if kind is not EmphysemaKind.NONE]
_PLACES = [region.value for region in PLACES]
_KERNELS = [kernel.value for kernel in Kernel]


@click.command()
@click.argument("out", type=AnyPath)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another invented person."
)
@click.option("--slices", "n_slices", type=click.IntRange(min=2), default=300, show_default=True)
@click.option("--matrix", type=click.IntRange(min=16), default=512, show_default=True)
@click.option(
    "--thickness", "thickness_mm", type=float, metavar="MM", help="The slices' distance by default."
)
@click.option(
    "--emphysema", "fraction", type=float, default=0.0, show_default=True, help="Fraction of the lung."
)
@click.option("--kind", type=click.Choice(_KINDS), default=_KINDS[0], show_default=True)
@click.option("--place", type=click.Choice(_PLACES), default=_PLACES[0], show_default=True)
@click.option(
    "--inflation",
    type=float,
    default=1.0,
    show_default=True,
    help="About 0.5 after breathing out, which the header then says.",
)
@click.option("--noise", "noise_hu", type=float, default=15.0, show_default=True, help="HU, in water.")
@click.option("--kernel", type=click.Choice(_KERNELS), default=_KERNELS[0], show_default=True)
@json_option
def phantom(*, out: Path, fraction: float, kind: str, place: str, as_json: bool, **scan: Any) -> None:
    """Write a synthetic chest CT as a DICOM series into the folder OUT.

    What is true of it, region by region, is written beside it to OUT.truth.json.
    """
    if scan["thickness_mm"] is None:
        scan["thickness_mm"] = COVERAGE_MM / scan["n_slices"]
    with busy("making the phantom"):
        try:
            emphysema = Emphysema(EmphysemaKind(kind), fraction, Region(place)) if fraction else Emphysema()
            truth = write_phantom(out, PhantomSpec(emphysema=emphysema, **scan))
        except ValueError as error:
            raise click.UsageError(f"{error}.") from error
    if as_json:
        click.echo(truth.read_text())
    else:
        click.echo(f"Written to {out}, its truth to {truth}.")
