"""`dras train evaluate`: what weights are worth, as a document. What computes is loaded when it is called."""

from pathlib import Path
from typing import Any

import click

from dras_cli.options import AnyPath
from dras_cli.progress import long_bar
from dras_model.encoder.bundle import Bundle
from dras_model.library import find_atlas, load_bundle, open_untrained

STAGES = 60  # about; what has been kept from an earlier call goes by at once


class NamedBundle(click.ParamType[tuple[str, str]]):
    """NAME=BUNDLE."""

    name = "NAME=BUNDLE"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return both parts."""
        name, sign, bundle = value.partition("=")
        if not (name and sign and bundle):
            self.fail("give a name and a bundle, as in main=phantom-starter", param, ctx)
        return name, bundle


@click.command("evaluate")
@click.argument("store", type=AnyPath)
@click.argument("recipe")
@click.option(
    "--bundle",
    "named",
    type=NamedBundle(),
    multiple=True,
    required=True,
    help="The first is judged, any others are ablations.",
)
@click.option(
    "--control",
    help="Bundle, by its NAME, for ablations that were trained less than the first; others are held against that.",
)
@click.option("-o", "--out", type=AnyPath, required=True, help="The document, .md; its JSON lies beside it.")
@click.option(
    "--kept", type=AnyPath, required=True, help="Folder that keeps what was cut, for the next call."
)
@click.option("--study", "studies", type=AnyPath, multiple=True, help="Real CT that is given emphysema.")
@click.option("--kernel-pair", type=AnyPath, nargs=2, help="One acquisition by a soft and by a sharp kernel.")
@click.option("--skip", type=click.IntRange(min=0), default=0, help="First subjects that were trained on.")
@click.option("--people", "n_people", type=click.IntRange(min=20), default=70, show_default=True)
@click.option("--pairs", "n_pairs", type=click.IntRange(min=0), default=8, help="People drawn twice; 8.")
@click.option("--maps", "n_maps", type=click.IntRange(min=0), default=6, help="People mapped; 6.")
@click.option("--stride", "stride_mm", type=click.Choice([8, 16, 32]), default=32, help="Of maps, mm; 32.")
@click.option("--location-step", "step", type=click.IntRange(min=1), default=6, help="Every 6th location.")
@click.option("--pair-step", type=click.IntRange(min=1), default=24, help="Of people drawn twice; 24.")
@click.option("--remarks", type=AnyPath, help="Text that goes into the document.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
def evaluate(
    *,
    store: Path,
    recipe: str,
    named: tuple[tuple[str, str], ...],
    out: Path,
    remarks: Path | None,
    **amounts: Any,
) -> None:
    """Hold bundles against LAA-950 and untrained weights on the invented people of STORE, which RECIPE invented.

    The people must be others than those that were trained on. What is asked: severity, presence and kind of
    emphysema by region, by all labels and by few, survival, where it is, the same in real lungs that are given
    emphysema, and how far embeddings agree where only kernel, noise, thickness, breath or place of the patches
    differ.
    """
    from dras_training.evaluation.document import write_document  # noqa: PLC0415
    from dras_training.evaluation.proof import Plan  # noqa: PLC0415
    from dras_training.evaluation.proof import evaluate as prove  # noqa: PLC0415
    from dras_training.recipe import load_recipe  # noqa: PLC0415
    from dras_training.store import PatchStore  # noqa: PLC0415

    cohort = load_recipe(recipe).phantoms
    if cohort is None:
        raise click.UsageError("This recipe has no phantoms.")
    bundles: dict[str, Bundle] = {name: load_bundle(bundle) for name, bundle in named}
    if amounts["control"] not in {None, *bundles}:
        raise click.UsageError("--control is none of the bundles' names.")
    atlas = find_atlas(next(iter(bundles.values())))
    for bundle in bundles.values():
        bundle.require_atlas(atlas)
    opened, untrained = PatchStore.open(store, atlas), open_untrained(atlas)
    plan = Plan(bundles=bundles, untrained=untrained, atlas=atlas, store=opened, cohort=cohort, **amounts)
    done = 0
    with long_bar("stages") as progress:

        def heard(stage: str) -> None:
            nonlocal done
            done += 1
            progress(done / (done + STAGES), stage)

        figures = prove(plan, heard)
    text = "" if remarks is None else remarks.read_text("utf-8")
    for path in write_document(figures, out, remarks=text):
        click.echo(str(path))
