"""Options that several commands share."""

import functools
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from dras_cli.boundary import Invocation

_Command = TypeVar("_Command", bound=Callable[..., Any])

AnyPath = click.Path(path_type=Path)
ENTRY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


class FiniteRange(click.FloatRange):
    """A range that neither nan nor an infinity lies in; click lets nan through, and inf where no end is set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Raises click.BadParameter where it is none, not finite or out of range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number.", param, ctx)
        return number


def entry_name(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the name that something gets in the library. Raises click.BadParameter for a path, for example."""
    if not ENTRY_NAME.fullmatch(value):
        raise click.BadParameter(f"{value!a} is no name; letters, digits and _ . @ - are taken.")
    return value


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """Which encoder, and where it runs; None leaves the choice to the default."""

    atlas: str | None
    bundle: str | None
    device: Literal["cpu", "cuda"] | None
    threads: int | None

    def given(self) -> dict[str, Any]:
        """Return what was chosen."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def encoder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--atlas`, `--bundle`, `--device` and `--threads`, given to the command as `encoder`."""

    @click.option(
        "--atlas", metavar="NAME|PATH", help="Atlas to align to; the bundle's, or the built-in one."
    )
    @click.option("--bundle", metavar="NAME|PATH", help="Model bundle; the atlas' default one by default.")
    @click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), help="Where the encoder runs; cpu by default."
    )
    @click.option("--threads", type=click.IntRange(min=1), help="Cores for the encoder; all by default.")
    @functools.wraps(command)
    def collect(
        *,
        atlas: str | None,
        bundle: str | None,
        device: Literal["cpu", "cuda"] | None,
        threads: int | None,
        **rest: Any,
    ) -> Any:
        return command(encoder=EncoderChoice(atlas, bundle, device, threads), **rest)

    return collect


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:  # size: a decorator an option
    """Add what may be chosen about one study, given to the command as `choices`."""

    @series_option
    @click.option("--segmenter", metavar="MODULE:FUNCTION", help="A lung segmenter in the place of ours.")
    @click.option(
        "--lung-mask",
        type=AnyPath,
        metavar="MASK",
        help="Lungs on the scan's voxels (NIfTI, NRRD, MHA or DICOM SEG) in the place of our segmentation: 1 right"
        " and 2 left (3 airway), or 50 right and 100 left, or one label, which is cut in two.",
    )
    @click.option(
        "--lung-labels",
        type=(click.IntRange(1, 255), click.IntRange(1, 255)),
        metavar="RIGHT LEFT",
        help="Labels of the lung mask, where they are others.",
    )
    @click.option(
        "--phase",
        type=click.Choice(["inspiration", "expiration", "auto"]),
        default="auto",
        show_default=True,
        help="Breath of the scan; auto takes it from the descriptions in the header.",
    )
    @click.option(
        "--reference-volume-ml",
        type=FiniteRange(min=0, min_open=True),
        metavar="ML",
        help="Lung volume that the volume-adjusted Perc15 refers to.",
    )
    @click.option(
        "--lobes",
        type=AnyPath,
        metavar="MASK",
        help="Label map of the lobes on the scan's voxels: 1 left upper, 2 left lower, 3 right upper, 4 right"
        " middle, 5 right lower.",
    )
    @click.option(
        "--harmonise/--no-harmonise",
        default=True,
        show_default=True,
        help="Also give the scores of the thin tail as a soft kernel without noise would show them.",
    )
    @click.option(
        "--limits", type=AnyPath, metavar="FILE.toml", help="Limits of scores and warnings by name."
    )
    @click.option(
        "--dicom",
        is_flag=True,
        help="Also write a DICOM SR, SEG and Parametric Map; they repeat the patient's name of the source.",
    )
    @click.option("--view", is_flag=True, help="Also keep a small copy of the scan to look at, as NIfTI.")
    @functools.wraps(command)
    def collect(
        *, series: str | None, segmenter: str | None, limits: Path | None, lobes: Path | None, **rest: Any
    ) -> Any:
        lung_mask, lung_labels = rest.pop("lung_mask"), rest.pop("lung_labels")
        if lung_mask is not None and segmenter is not None:
            raise click.UsageError("give a lung mask or a segmenter, not both")
        if lung_labels is not None and lung_mask is None:
            raise click.UsageError("--lung-labels belongs to --lung-mask")
        from dras_model.choices import Choices  # noqa: PLC0415 - only where a study is computed
        from dras_model.scores.limits import Limits, read_limits  # noqa: PLC0415
        from dras_model.scores.scoring import ScoringChoices  # noqa: PLC0415

        chosen = Limits() if limits is None else read_limits(limits)
        scoring = ScoringChoices(
            rest.pop("phase"), rest.pop("reference_volume_ml"), lobes, chosen, rest.pop("harmonise")
        )
        choices = Choices(
            series, segmenter, scoring, lung_mask, lung_labels, rest.pop("dicom"), rest.pop("view")
        )
        return command(choices=choices, **rest)

    return collect


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--label`, `--date` and `--paper` of a report, given to the command as `page`."""

    @click.option("--label", metavar="TEXT", help="Your own name of the study, for the report.")
    @click.option(
        "--date", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The date on the report."
    )
    @click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True)
    @functools.wraps(command)
    def collect(
        *, label: str | None, date: datetime | None, paper: Literal["a4", "letter"], **rest: Any
    ) -> Any:
        from dras_model.outputs.report.page import Page  # noqa: PLC0415 - only where a result is written

        try:
            page = Page(label, None if date is None else date.date(), paper)
        except ValueError as fault:
            raise click.UsageError(f"--label: {fault}") from fault
        return command(page=page, **rest)

    return collect


def device_options(command: _Command) -> _Command:
    """Add `--device` and `--threads` alone."""
    device = click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), help="Where the encoder runs; cpu by default."
    )
    threads = click.option("--threads", type=click.IntRange(min=1), help="Cores to use; all by default.")
    return device(threads(command))


def json_option(command: _Command) -> _Command:
    """Add `--json`, read before any other option so that a wrong one is answered in JSON, too."""
    option = click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=_answer_in_json,
        help="Write one JSON document to standard output.",
    )
    return option(command)


def series_option(command: _Command) -> _Command:
    """Add `--series`."""
    option = click.option(
        "--series", metavar="UID", help="Series Instance UID to use; the best one is chosen by default."
    )
    return option(command)


def atlas_option(command: _Command) -> _Command:
    """Add `--atlas` alone."""
    option = click.option(
        "--atlas", metavar="NAME|PATH", help="Atlas the weights are for; the built-in one by default."
    )
    return option(command)


def key_file_option(command: _Command) -> _Command:
    """Add `--key-file`, whose content the command gets as `key`: a key itself would stay in the shell's history."""
    option = click.option(
        "--key-file",
        "key",
        type=AnyPath,
        callback=_read_key,
        metavar="FILE",
        help="File that holds the service's key; the variable DRAS_API_KEY by default.",
    )
    return option(command)


def _read_key(_ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> str | None:
    """Return the key in a file. Raises click.BadParameter; what the file holds is not repeated."""
    if path is None:
        return None
    try:
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter("the file cannot be read") from error
    if not key.isprintable() or not key or " " in key:
        raise click.BadParameter("the file holds no key")
    return key


def _answer_in_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if value:
        ctx.ensure_object(Invocation).json = True
    return value
