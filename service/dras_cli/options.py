"""Options that several commands share."""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from dras_cli.boundary import Invocation

_Command = TypeVar("_Command", bound=Callable[..., Any])

AnyPath = click.Path(path_type=Path)


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

    @click.option("--atlas", metavar="NAME|PATH", help="Atlas to align to; the built-in one by default.")
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


def _answer_in_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if value:
        ctx.ensure_object(Invocation).json = True
    return value
