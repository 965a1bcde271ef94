"""`dras train encode`, `probe`, `survival`, `dense`: outcomes of the user's own tables.

What computes is loaded when it is called.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.progress import long_bar, progress_bar
from dras_model.encoder.heads import MOST_COHORT, MOST_UNIT, Head
from dras_model.library import find_atlas, load_bundle
from dras_training.downstream.poolings import POOLINGS

if TYPE_CHECKING:
    from dras_training.downstream.outcomes import Table
    from dras_training.downstream.people import People

_EMBEDDINGS = (
    "EMBEDDINGS are folders of `dras extract`, a person each by the folder's name, or one file of"
    " `dras train encode`."
)
_QUESTION, _KEPT = ("embeddings", "table", "pooling"), ("bundle", "out", "cohort", "name")


@dataclass(frozen=True, slots=True)
class Question:
    """Whose embeddings, which table, and how patches become a vector."""

    embeddings: tuple[Path, ...]
    table: Path
    pooling: str

    @property
    def poolings(self) -> tuple[Any, ...]:
        """The poolings to judge."""
        return POOLINGS if self.pooling == "all" else (self.pooling,)

    def read(self) -> "tuple[People, Table]":
        """Read both. Raises SetupRefused."""
        from dras_training.downstream.outcomes import read_table  # noqa: PLC0415
        from dras_training.downstream.people import read_people  # noqa: PLC0415

        return read_people(self.embeddings), read_table(self.table)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Into which bundle a head goes, and what is told of its cohort."""

    bundle: str
    out: Path
    cohort: str
    name: str

    def require(self, table: "Table", outcomes: Sequence[str]) -> None:
        """Refuse outcomes that could not be kept, before anything is fitted. Raises SetupRefused."""
        from dras_training.downstream.keeping import require_names  # noqa: PLC0415

        require_names(table, outcomes)

    def keep(self, heads: Sequence[Head], people: "People") -> None:
        """Write the bundle with the heads. Raises SetupRefused."""
        from dras_training.downstream.keeping import keep_heads  # noqa: PLC0415

        keep_heads(heads, load_bundle(self.bundle), self.out, encoder=people.encoder, name=self.name)
        click.echo(f"Heads in {self.out}: {', '.join(head.name for head in heads)}.", err=True)


@click.command("encode", epilog="The file is what `dras train probe` and `survival` read.")
@click.argument("store", type=AnyPath)
@click.argument("out", type=AnyPath)
@click.option("--bundle", required=True, metavar="NAME|PATH", help="Model bundle that encodes.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
def encode(*, store: Path, out: Path, bundle: str, threads: int | None) -> None:
    """Encode the patches of a STORE into the file OUT (.npz), as `dras extract` would encode the studies."""
    from dras_training.downstream.people import encode_store  # noqa: PLC0415
    from dras_training.store import PatchStore  # noqa: PLC0415

    opened = load_bundle(bundle)
    atlas = find_atlas(opened)
    with long_bar("people") as progress:

        def heard(done: int, total: int) -> None:
            progress(done / total, f"{done} of {total} people")

        people = encode_store(PatchStore.open(store, atlas), opened, atlas, threads=threads, heard=heard)
    people.write(out)
    click.echo(f"{len(people)} people are in {out}.")


def _downstream(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments that all of them take, given to the command as `question` and `keeping`."""

    @functools.wraps(command)
    def asked(**given: Any) -> None:
        question = Question(**{name: given.pop(name) for name in _QUESTION})
        kept = {name: given.pop(name) for name in _KEPT}
        command(question=question, keeping=_keeping(question, **kept), **given)

    options = (
        click.argument("embeddings", nargs=-1, required=True, type=AnyPath),
        click.option("--table", required=True, type=AnyPath, help="CSV or Parquet with a column `subject`."),
        click.option("--pooling", type=click.Choice([*POOLINGS, "all"]), default="mean", show_default=True),
        click.option("--bundle", metavar="NAME|PATH", help="Bundle that made the embeddings."),
        click.option("-o", "--out", type=AnyPath, help="New bundle: that of --bundle, and the head."),
        click.option("--cohort", help="Who was fitted on, in a few words; told with every estimate."),
        click.option("--name", help="Name of the new bundle; as its folder by default."),
        json_option,
    )
    for option in reversed(options):
        asked = option(asked)
    return asked


def _keeping(
    question: Question, *, bundle: str | None, out: Path | None, cohort: str | None, name: str | None
) -> Keeping | None:
    if bundle is None and out is None and cohort is None:
        return None
    if bundle is None or out is None or cohort is None:
        raise click.UsageError("A head is kept by --bundle, --out and --cohort together.")
    if question.pooling == "all":
        raise click.UsageError("A head has one pooling; name it.")
    if not 1 <= len(cohort) <= MOST_COHORT:
        raise click.UsageError(f"--cohort takes 1 to {MOST_COHORT} characters.")
    return Keeping(bundle, out, cohort, name or out.name)


@click.command("probe", epilog=_EMBEDDINGS)
@click.option("--outcome", required=True, help="Column of the table.")
@click.option(
    "--as", "kind", type=click.Choice(["regression", "classification"]), help="By default as it looks."
)
@click.option("--unit", default="", help="Unit of a number.")
@_downstream
def probe(
    *, question: Question, keeping: Keeping | None, outcome: str, kind: Any, unit: str, as_json: bool
) -> None:
    """Say how well the embeddings tell an outcome, of people not fitted to; keep the head in a bundle.

    Nested cross-validation, intervals of 95 % by bootstrap; numbers by ridge, classes by logistic regression.
    """
    from dras_training.downstream.outcomes import read_outcome  # noqa: PLC0415
    from dras_training.downstream.probe import heads, judge, targets_of  # noqa: PLC0415

    if len(unit) > MOST_UNIT:
        raise click.UsageError(f"--unit takes at most {MOST_UNIT} characters.")
    people, table = question.read()
    wanted = read_outcome(table, people, outcome, kind=kind)
    if keeping is not None:
        keeping.require(table, [name for name, _ in targets_of(wanted)])
    judged = [judge(wanted, pooling) for pooling in question.poolings]
    if keeping is not None:
        keeping.keep(heads(wanted, judged[0], cohort=keeping.cohort, unit=unit), people)
    _tell([each.told() for found in judged for each in found], as_json=as_json)


@click.command("survival", epilog=_EMBEDDINGS)
@click.option("--time", required=True, help="Column: time of the event, or of being last seen.")
@click.option("--event", required=True, help="Column: 1 where the event came, 0 where not.")
@_downstream
def survival(*, question: Question, keeping: Keeping | None, time: str, event: str, as_json: bool) -> None:
    """Say how well the embeddings rank who meets an event first; keep the head in a bundle.

    Cox's model with a ridge, nested cross-validation: Harrell's C, and the area under the ROC curve at quartiles
    of the times of events.
    """
    from dras_training.downstream.survival import judge_survival, read_followed, survival_head  # noqa: PLC0415

    people, table = question.read()
    followed = read_followed(table, people, time=time, event=event)
    if keeping is not None:
        keeping.require(table, [event])
    judged = [judge_survival(followed, pooling, name=event) for pooling in question.poolings]
    if keeping is not None:
        keeping.keep([survival_head(followed, judged[0], cohort=keeping.cohort)], people)
    _tell([each.told() for each in judged], as_json=as_json)


@click.command("dense")
@click.argument("study", type=AnyPath)
@click.option("--bundle", required=True, metavar="NAME|PATH", help="Bundle with the head.")
@click.option("--head", required=True, help="Name of a head that was fitted with --pooling patches, or mean.")
@click.option("-o", "--out", required=True, type=AnyPath, help="The map, NIfTI.")
@click.option(
    "--stride", type=click.Choice(["4", "8", "16", "32"]), default="16", show_default=True, help="mm."
)
@click.option("--threads", type=click.IntRange(min=1), help="Cores for the encoder; all by default.")
def dense(*, study: Path, bundle: str, head: str, out: Path, stride: str, threads: int | None) -> None:
    """Slide a head over the lungs of a STUDY and write what it says of each place, as a map in the scan's space."""
    from dras_model.encoder.runtime import Encoder  # noqa: PLC0415
    from dras_model.preparing import cut  # noqa: PLC0415
    from dras_training.downstream.dense import find_head, slide  # noqa: PLC0415

    opened = load_bundle(bundle)
    chosen, atlas = find_head(opened, head), find_atlas(opened)
    encoder = Encoder.open(opened, threads=threads)
    with progress_bar("cubes") as heard:
        made = slide(cut(study, atlas=atlas), chosen, encoder, atlas, stride_mm=int(stride), heard=heard)
    made.write(out)
    click.echo(f"{chosen.outcome} over the lungs, every {stride} mm, is in {out}.")


def _tell(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        events = "" if row["n_events"] is None else f", {row['n_events']} with it"
        click.echo(
            f"{row['target']}, {row['pooling']}: {row['measure']} {row['value']:.3f} ({row['low']:.3f} to"
            f" {row['high']:.3f}), calibration slope {row['calibration']['slope']:.2f}, n = {row['n']}{events}"
        )
        for horizon in row.get("horizons", ()):
            click.echo(f"  AUC at {horizon['time']:.3g}: {horizon['auc']:.3f}")
