"""`dras train`: weights of one's own, from a cohort to a bundle. What computes is loaded when it is called."""

import importlib.util
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from dras_cli.commands.train_downstream import dense, encode, probe, survival
from dras_cli.commands.train_evaluate import evaluate
from dras_cli.commands.train_tuned import finetune, label, segment
from dras_cli.options import AnyPath, json_option
from dras_cli.progress import long_bar
from dras_model.library import bundles_folder, open_atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

_RECIPE = "RECIPE is a TOML file, or the name of one that comes with dras."


@click.group()
def train() -> None:
    """Make weights: prepare a cohort, pretrain an encoder on it, export a model bundle.

    On several devices: torchrun --nproc-per-node N -m dras_cli.main train pretrain RECIPE
    """
    if importlib.util.find_spec("torch") is None:
        raise SetupRefused(Code.MISSING_EXTRA, package="torch", extra="training")


store_option = click.option(
    "--store", type=AnyPath, metavar="DIR", help="Patch store; <name of the recipe>-store by default."
)


@train.command("prepare", epilog=_RECIPE)
@click.argument("recipe")
@click.argument("sources", nargs=-1, type=AnyPath)
@store_option
@click.option("--processes", type=click.IntRange(min=1), help="Cases at once; as many as cores by default.")
@click.option("--again", is_flag=True, help="Take up cases that were refused before.")
@json_option
def prepare(
    *,
    recipe: str,
    sources: tuple[Path, ...],
    store: Path | None,
    processes: int | None,
    again: bool,
    as_json: bool,
) -> None:
    """Cut the patches of a cohort into the store that training reads; go on where it stopped.

    SOURCES are folders with an entry a subject (a folder of DICOM, a zip or tar, a NIfTI file), single studies, or
    lists (.csv or .txt: a path a line, or a table with the columns path, subject, series_uid, and person, whose
    scan it is where somebody has several). Without any, the phantoms of the recipe are made. A case that cannot be
    used is recorded in the store's cases.jsonl and skipped.
    """
    from dras_training.cases import list_cases, phantom_cases  # noqa: PLC0415
    from dras_training.prepare import prepare_store  # noqa: PLC0415
    from dras_training.recipe import load_recipe  # noqa: PLC0415
    from dras_training.store import PatchStore  # noqa: PLC0415

    chosen = load_recipe(recipe)
    if not sources and chosen.phantoms is None:
        raise click.UsageError("This recipe has no phantoms; name the cohort's files.")
    cases = list_cases(sources) if sources or chosen.phantoms is None else phantom_cases(chosen.phantoms)
    atlas = open_atlas(chosen.data.atlas)
    place = store or Path(f"{chosen.name}-store")
    opened = PatchStore.create(place, atlas, slots=len(cases))
    refused: Counter[str] = Counter()
    with long_bar("cases") as progress:

        def heard(record: object, done: int, total: int) -> None:
            code = getattr(record, "code", None)
            refused.update([code] if code else [])
            progress(done / total, f"{done} of {total} cases")

        summary = prepare_store(cases, opened, atlas, processes=processes, again=again, heard=heard)
    if as_json:
        told = {"store": str(place), "stored": summary.stored, "already": summary.already, "refused": refused}
        click.echo(json.dumps(told))
        return
    click.echo(
        f"{summary.stored} subjects added to {place}, {summary.already} were known, {summary.refused} refused."
    )
    for code, n in refused.most_common():
        click.echo(f"  {n} × {code}")


@train.command("pretrain", epilog=_RECIPE)
@click.argument("recipe")
@store_option
@click.option("--run", type=AnyPath, metavar="DIR", help="Run folder; <name of the recipe>-run by default.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="cuda where there is one, by default.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each process.")
@click.option(
    "--until", type=click.IntRange(min=1), metavar="STEP", help="Stop after this step, to go on later."
)
@json_option
def pretrain(
    *,
    recipe: str,
    store: Path | None,
    run: Path | None,
    device: str | None,
    threads: int | None,
    until: int | None,
    as_json: bool,
) -> None:
    """Train an encoder on a patch store; called again, go on from the last checkpoint."""
    import torch  # noqa: PLC0415

    from dras_training.pretrain import pretrain as pretrain_encoder  # noqa: PLC0415
    from dras_training.processes import joined  # noqa: PLC0415
    from dras_training.recipe import load_recipe  # noqa: PLC0415
    from dras_training.store import PatchStore  # noqa: PLC0415

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("There is no CUDA device here.")
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = load_recipe(recipe)
    atlas = open_atlas(chosen.data.atlas)
    opened = PatchStore.open(store or Path(f"{chosen.name}-store"), atlas)
    place = run or Path(f"{chosen.name}-run")
    last: dict[str, float] = {}
    with (
        joined(device or ("cuda" if torch.cuda.is_available() else "cpu")) as group,
        long_bar("steps") as progress,
    ):

        def told(line: Mapping[str, float]) -> None:
            last.update(line)
            seen = f"step {line['step']} of {line['total']}, loss {line['loss']:.3f}"
            ranked = f"own key first {line['accuracy_local']:.0%}, {line['eta_s'] / 60:.0f} min left"
            progress(line["step"] / line["total"], f"{seen}, {ranked}")

        done = pretrain_encoder(chosen, opened, atlas, place, group=group, until=until, told=told)
    if not group.leads:
        return
    if as_json:
        click.echo(json.dumps({"run": str(place), "step": done.step, "total": done.total, "last": last}))
    else:
        click.echo(f"{done.step} of {done.total} steps are in {place}.")


@train.command("export")
@click.argument("run", type=AnyPath)
@click.option("-o", "--out", type=AnyPath, help="New folder of the bundle; in the library by default.")
@click.option("--name", help="What it will be called; as its recipe by default.")
@store_option
@json_option
def export(*, run: Path, out: Path | None, name: str | None, store: Path | None, as_json: bool) -> None:
    """Make the model bundle of what RUN has trained so far, for `dras extract --bundle`."""
    from dras_training.export import export as export_bundle  # noqa: PLC0415
    from dras_training.export import read_run  # noqa: PLC0415
    from dras_training.store import PatchStore  # noqa: PLC0415

    recipe = read_run(run)
    atlas = open_atlas(recipe.data.atlas)
    opened = PatchStore.open(store or Path(f"{recipe.name}-store"), atlas)
    named = name or recipe.name
    bundle = export_bundle(run, out or bundles_folder() / named, atlas=atlas, store=opened, name=named)
    if as_json:
        click.echo(
            json.dumps({"path": str(bundle.path), "manifest": bundle.manifest.model_dump(mode="json")})
        )
    else:
        click.echo(f"Written to {bundle.path}: {bundle.manifest.training.summary}.")


@train.command("curves")
@click.argument("run", type=AnyPath)
@click.argument("picture", type=AnyPath)
def curves(*, run: Path, picture: Path) -> None:
    """Draw losses and accuracy of RUN so far to PICTURE (PNG, SVG or PDF)."""
    from dras_training.curves import draw_curves  # noqa: PLC0415

    draw_curves(run, picture)


@train.command("phantoms", epilog=_RECIPE)
@click.argument("recipe")
@click.argument("table", type=AnyPath)
@click.option("--count", type=click.IntRange(min=1), help="How many; as many as the recipe by default.")
@click.option("--first", type=click.IntRange(min=0), help="Seed of the first; the recipe's by default.")
@click.option(
    "--scans", type=AnyPath, metavar="DIR", help="Scan them, too: NIfTI, with label maps of what is lost."
)
def phantoms(*, recipe: str, table: Path, count: int | None, first: int | None, scans: Path | None) -> None:
    """Write what is true of a recipe's invented people to the CSV TABLE: disease, build, scanner and fate."""
    from dras_training.people import write_truth  # noqa: PLC0415
    from dras_training.recipe import load_recipe  # noqa: PLC0415

    cohort = load_recipe(recipe).phantoms
    if cohort is None:
        raise click.UsageError("This recipe has no phantoms.")
    asked = {name: value for name, value in (("count", count), ("seed", first)) if value is not None}
    with long_bar("people") as progress:

        def heard(done: int, total: int) -> None:
            progress(done / total, f"{done} of {total} people")

        n = write_truth(cohort.model_copy(update=asked), table, scans=scans, heard=heard)
    click.echo(f"{n} people are in {table}.")


for _command in (encode, probe, survival, dense, finetune, segment, label, evaluate):
    train.add_command(_command)
