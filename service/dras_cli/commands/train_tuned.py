"""`dras train finetune`, `segment`, `label`: the encoder itself trained on, for the user's own ends.

What computes is loaded when it is called.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dras_cli.options import AnyPath, FiniteRange, json_option
from dras_cli.progress import long_bar, progress_bar
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.heads import MOST_COHORT, MOST_UNIT
from dras_model.encoder.weights import EncoderWeights
from dras_model.library import find_atlas, load_bundle

if TYPE_CHECKING:
    from dras_training.downstream.efficiency import Point
    from dras_training.downstream.segmenter import About

_device = click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
_stride = click.option(
    "--stride",
    type=click.Choice(["8", "16", "32"]),
    default="16",
    show_default=True,
    help="mm between tiles.",
)
_threads = click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")


def _percents(_context: click.Context, _option: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        percents = tuple(float(part) for part in text.split(","))
    except ValueError as fault:
        raise click.BadParameter("it takes numbers with commas between") from fault
    if not all(0.0 < percent <= 100.0 for percent in percents):
        raise click.BadParameter("percents lie above 0 and up to 100")
    return percents


@click.command("finetune")
@click.argument("store", type=AnyPath)
@click.option("--bundle", required=True, metavar="NAME|PATH", help="Bundle whose encoder is trained on.")
@click.option("--table", required=True, type=AnyPath, help="CSV or Parquet with a column `subject`.")
@click.option("--outcome", required=True, help="Column of the table.")
@click.option(
    "-o", "--out", required=True, type=AnyPath, help="Folder of the curve; goes on where it stopped."
)
@click.option(
    "--as", "kind", type=click.Choice(["regression", "classification"]), help="By default as it looks."
)
@click.option(
    "--percents", default="1,5,10,25,50,100", show_default=True, callback=_percents, help="Of the labels."
)
@click.option(
    "--draws", type=click.IntRange(min=1), default=3, show_default=True, help="Of the labels, each."
)
@click.option(
    "--held-out", metavar="COLUMN", help="1 for whom it is judged on; a quarter is drawn by default."
)
@click.option(
    "--locations", type=click.IntRange(min=1), default=16, show_default=True, help="Patches a person."
)
@click.option("--steps", type=click.IntRange(min=1), default=100, show_default=True, help="Of each training.")
@click.option("--rate", type=FiniteRange(min=0.0), default=1e-4, show_default=True, help="Of learning.")
@click.option("--scratch-rate", type=FiniteRange(min=0.0), default=1e-3, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--keep", type=AnyPath, metavar="DIR", help="New bundle: the encoder trained on, with its heads."
)
@click.option("--cohort", help="With --keep: who was learnt from, in a few words.")
@click.option("--name", help="With --keep: name of the new bundle; as its folder by default.")
@click.option("--unit", default="", help="Unit of a number.")
@_device
@_threads
@json_option
def finetune(  # noqa: PLR0913 - one argument an option
    *,
    store: Path,
    bundle: str,
    table: Path,
    outcome: str,
    out: Path,
    kind: Any,
    percents: tuple[float, ...],
    draws: int,
    held_out: str | None,
    keep: Path | None,
    cohort: str | None,
    name: str | None,
    unit: str,
    threads: int | None,
    as_json: bool,
    **course: Any,
) -> None:
    """Say how many labels an outcome takes: the encoder trained on, the same from scratch, a probe of it as it is.

    STORE holds the people's patches (`dras train prepare`). Who is judged on is settled before anything else.
    In OUT are curve.csv, curve.json and curve.png.
    """
    from dras_training.downstream.curve_files import PICTURE, write_curve  # noqa: PLC0415
    from dras_training.downstream.efficiency import Curve, Journal, Split  # noqa: PLC0415
    from dras_training.downstream.finetune import Course, Patients, people_of  # noqa: PLC0415
    from dras_training.downstream.keeping import keep_tuned, require_names  # noqa: PLC0415
    from dras_training.downstream.outcomes import read_outcome, read_table  # noqa: PLC0415
    from dras_training.downstream.probe import targets_of  # noqa: PLC0415
    from dras_training.store import PatchStore  # noqa: PLC0415

    _check_kept(keep, cohort, unit)
    _use(course["device"], threads)
    opened = load_bundle(bundle)
    atlas, weights = find_atlas(opened), _weights_of(opened)
    held, read = PatchStore.open(store, atlas), read_table(table)
    wanted = read_outcome(read, people_of(held, atlas), outcome, kind=kind)
    if keep is not None:
        require_names(read, [target for target, _ in targets_of(wanted)])
    settled = Course(**course)
    split = Split.told(wanted, read, held_out) if held_out else Split.drawn(wanted, seed=settled.seed)
    curve = Curve(Patients(held, atlas, wanted, settled), weights, split, percents=percents, draws=draws)
    journal = Journal(out, curve.question())
    with long_bar("trainings") as heard:
        curve.run(journal, heard=heard)
    points = list(curve.points(journal))
    write_curve(points, out, outcome=outcome, n_judged=len(split.judged))
    _tell(points, as_json=as_json)
    click.echo(f"The curve is in {out / PICTURE}.", err=True)
    if keep is not None and cohort is not None:
        made = keep_tuned(curve, opened, keep, cohort=cohort, unit=unit, name=name or keep.name)
        click.echo(f"Heads in {keep}: {', '.join(head.name for head in made.heads)}.", err=True)


@click.command("segment")
@click.argument("source", type=AnyPath)
@click.argument("out", type=AnyPath)
@click.option("--bundle", required=True, metavar="NAME|PATH", help="Bundle whose encoder is trained on.")
@click.option("--cohort", required=True, help="Who was learnt from, in a few words.")
@click.option("--name", help="What it will be called; as its folder by default.")
@click.option("--patches", type=click.IntRange(min=1), default=64, show_default=True, help="Of each case.")
@click.option("--steps", type=click.IntRange(min=1), default=400, show_default=True)
@click.option("--rate", type=FiniteRange(min=0.0), default=3e-4, show_default=True, help="Of the encoder.")
@click.option(
    "--scratch-rate", type=FiniteRange(min=0.0), default=1e-3, show_default=True, help="Of what is new."
)
@click.option(
    "--scratch/--no-scratch", default=True, show_default=True, help="Judge the same from scratch, too."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--work", type=AnyPath, metavar="DIR", help="Patches of the cases; OUT-work by default.")
@_stride
@_device
@_threads
@json_option
def segment(  # noqa: PLR0913 - one argument an option
    *,
    source: Path,
    out: Path,
    bundle: str,
    cohort: str,
    name: str | None,
    patches: int,
    scratch: bool,
    work: Path | None,
    stride: str,
    threads: int | None,
    as_json: bool,
    **course: Any,
) -> None:
    """Teach the encoder, with a decoder, to label scans as yours are; write the segmenter to the new folder OUT.

    SOURCE is a folder with `images` and `labels`, whose entries have the same names, or a table with the columns
    subject, image and labels. A quarter of the cases is held out, and Dice told of them.
    """
    from dras_training.downstream.labelled import Samples, gather, list_pairs  # noqa: PLC0415
    from dras_training.downstream.segment import Course, learn_and_judge, split_pairs  # noqa: PLC0415
    from dras_training.downstream.segmenter import save, told_of  # noqa: PLC0415
    from dras_training.downstream.tuning import STARTS  # noqa: PLC0415

    _check_cohort(cohort)
    _use(course["device"], threads)
    opened = load_bundle(bundle)
    atlas, weights, settled = find_atlas(opened), _weights_of(opened), Course(**course)
    learners, held = split_pairs(list_pairs(source), seed=settled.seed)
    kept = work or out.with_name(f"{out.name}-work")
    with long_bar("cases") as bar:

        def heard(done: int, total: int) -> None:
            bar(done / total, f"{done} of {total} cases are cut")

        samples = Samples.joined(
            gather(learners, atlas, kept, patches=patches, seed=settled.seed, heard=heard)
        )
    with long_bar("learning") as learning:
        network, dice = learn_and_judge(
            samples,
            held,
            weights,
            atlas,
            starts=STARTS if scratch else STARTS[:1],
            stride_mm=int(stride),
            course=settled,
            heard=learning,
        )
    made = save(
        out,
        network,
        name=name or out.name,
        encoder=opened.manifest.encoder,
        atlas=opened.manifest.atlas,
        bundle=opened.manifest.name,
        bundle_sha256=opened.sha256,
        cohort=cohort,
        n_cases=len(learners),
        labels=told_of(samples.values, dice),
        licence=opened.manifest.licence,
    )
    _tell_labels(made.about, as_json=as_json)
    click.echo(f"The segmenter is in {out}; {kept} is not needed any more.", err=True)


@click.command("label")
@click.argument("study", type=AnyPath)
@click.option("--segmenter", required=True, type=AnyPath, help="Folder of `dras train segment`.")
@click.option("-o", "--out", required=True, type=AnyPath, help="The label map, NIfTI.")
@_stride
@_device
@_threads
def label(*, study: Path, segmenter: Path, out: Path, stride: str, device: str, threads: int | None) -> None:
    """Label a STUDY by a segmenter, on its own voxels."""
    from dras_model.library import atlas_named  # noqa: PLC0415
    from dras_model.outputs.folder import new_file  # noqa: PLC0415
    from dras_model.outputs.masks import write_labels  # noqa: PLC0415
    from dras_model.preparing import cut  # noqa: PLC0415
    from dras_training.downstream.segmenter import Segmenter  # noqa: PLC0415
    from dras_training.downstream.tiling import label_study  # noqa: PLC0415

    _use(device, threads)
    opened = Segmenter.load(segmenter)
    atlas = atlas_named(opened.about.atlas, by=segmenter.name)
    found = cut(study, atlas=atlas)
    with progress_bar("tiles") as heard:
        made = label_study(
            found,
            opened.network.to(device),
            opened.values,
            atlas,
            stride_mm=int(stride),
            device=device,
            heard=heard,
        )
    with new_file(out, overwrite=True) as draft:
        write_labels(draft, made.oriented(found.header.grid.orientation))
    counts = {value: int((made.labels == value).sum()) * made.grid.voxel_ml for value in opened.values}
    told = ", ".join(f"{value}: {ml:.1f} mL" for value, ml in counts.items())
    click.echo(f"Written to {out} ({told}).")


def _check_kept(keep: Path | None, cohort: str | None, unit: str) -> None:
    if (keep is None) != (cohort is None):
        raise click.UsageError("An encoder is kept by --keep and --cohort together.")
    if cohort is not None:
        _check_cohort(cohort)
    if len(unit) > MOST_UNIT:
        raise click.UsageError(f"--unit takes at most {MOST_UNIT} characters.")


def _check_cohort(cohort: str) -> None:
    if not 1 <= len(cohort) <= MOST_COHORT:
        raise click.UsageError(f"--cohort takes 1 to {MOST_COHORT} characters.")


def _use(device: str, threads: int | None) -> None:
    import torch  # noqa: PLC0415

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("There is no CUDA device here.")
    if threads is not None:
        torch.set_num_threads(threads)


def _weights_of(bundle: Bundle) -> EncoderWeights:
    weights = bundle.weights()
    if weights is None:
        raise click.UsageError("This bundle serves only: it was made without weights.safetensors.")
    return weights


def _tell(points: "list[Point]", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([point.told() for point in points]))
        return
    for point in points:
        reached, lead = point.performance, point.lead
        behind = (
            "" if lead is None else f"; pretrained {lead.value:+.3f} ({lead.low:+.3f} to {lead.high:+.3f})"
        )
        click.echo(
            f"{point.n_labels} labels, {point.arm}: {point.measure} {reached.value:.3f} ({reached.low:.3f} to"
            f" {reached.high:.3f}){behind}"
        )


def _tell_labels(about: "About", *, as_json: bool) -> None:
    if as_json:
        click.echo(about.model_dump_json())
        return
    for each in about.labels:
        parts = [("pretrained", each.dice), ("from scratch", each.dice_from_scratch)]
        told = [
            f"{start} {dice.value:.3f} ({dice.low:.3f} to {dice.high:.3f})"
            for start, dice in parts
            if dice is not None
        ]
        click.echo(f"label {each.label}: Dice {', '.join(told) or 'unknown'}, {each.n_cases} cases")
