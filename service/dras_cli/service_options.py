"""Options of the commands that speak to a service: where it is, and what is asked of a job."""

import functools
import itertools
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from pydantic import ValidationError

from dras_cli.options import AnyPath, FiniteRange, key_file_option, series_option
from dras_client import Client, DrasClientError
from dras_service.api.options import LEAST_PRIORITY, MOST_PRIORITY, JobOptions

DEFAULT_URL = "http://127.0.0.1:8042"  # where `dras serve` listens unless told otherwise
# How much trouble is borne: somebody waits for the answer to a question; an upload may outlast a restart.
_QUESTION_S = 10.0
UPLOAD_S = 60.0
GREETING_S = 5.0  # an address where nobody listens is more often mistyped than being restarted
_COMPLETION_S = 2.0
_MOST_COMPLETIONS = 50


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is and who asks."""

    url: str
    key: str | None

    def open(self, *, retry_for_s: float = _QUESTION_S) -> Client:
        """Make a client, to be closed by the caller."""
        return Client(self.url, key=self.key, retry_for_s=retry_for_s)


class JobId(click.ParamType[str]):
    """The id of a job; a shell completes it from the latest of the service's jobs."""

    name = "job"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Ask the service for its jobs; nothing is said where it does not answer."""
        url = ctx.params.get("url") or os.environ.get("DRAS_URL") or DEFAULT_URL
        try:
            with Client(url, key=ctx.params.get("key"), timeout_s=_COMPLETION_S, retry_for_s=0) as client:
                latest = [job.view for job in itertools.islice(client.jobs(), _MOST_COMPLETIONS)]
        except DrasClientError:
            return []
        return [
            CompletionItem(view.id, help=view.state.value)
            for view in latest
            if view.id.startswith(incomplete)
        ]


JOB_ID = JobId()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of a job beside its study."""

    series: str | None
    bundle: str | None
    options: JobOptions
    priority: int
    repeat: bool


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--url` and `--key-file`, given to the command as `service`."""

    @click.option(
        "--url", default=DEFAULT_URL, show_default=True, envvar="DRAS_URL", help="Address of the service."
    )
    @key_file_option
    @functools.wraps(command)
    def collect(*, url: str, key: str | None, **rest: Any) -> Any:
        return command(service=Service(url, key), **rest)

    return collect


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:  # size: a decorator an option
    """Add what may be asked of a job, given to the command as `wishes`."""

    @series_option
    @click.option("--bundle", metavar="NAME", help="Model bundle of the service; its default one by default.")
    @click.option(
        "--phase",
        type=click.Choice(["inspiration", "expiration", "auto"]),
        default="auto",
        show_default=True,
        help="Breath of the scan; auto takes it from the header.",
    )
    @click.option(
        "--harmonise/--no-harmonise",
        default=True,
        show_default=True,
        help="Also give the scores as a soft kernel without noise would show them.",
    )
    @click.option(
        "--reference-volume-ml",
        type=FiniteRange(min=0, min_open=True),
        metavar="ML",
        help="Lung volume that the volume-adjusted Perc15 refers to.",
    )
    @click.option(
        "--limits", type=AnyPath, metavar="FILE.toml", help="Limits of scores and warnings by name."
    )
    @click.option(
        "--dicom",
        is_flag=True,
        help="Also make DICOM objects of the result; they repeat the patient of the scan.",
    )
    @click.option(
        "--priority",
        type=click.IntRange(LEAST_PRIORITY, MOST_PRIORITY),
        default=0,
        show_default=True,
        help="The highest is computed first.",
    )
    @click.option("--repeat", is_flag=True, help="Compute even where the same was computed before.")
    @functools.wraps(command)
    def collect(*, limits: Path | None, priority: int, repeat: bool, **rest: Any) -> Any:
        names = ("phase", "harmonise", "reference_volume_ml", "dicom")
        asked = {name: rest.pop(name) for name in names} | {"limits": _read_limits(limits)}
        try:
            options = JobOptions(**asked)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            raise click.BadParameter(
                "this is not taken", param_hint=f"--{field.replace('_', '-')}"
            ) from error
        chosen = (rest.pop("series"), rest.pop("bundle"))
        return command(wishes=Wishes(*chosen, options, priority, repeat), **rest)

    return collect


def _read_limits(path: Path | None) -> dict[str, Any]:
    """Return what a file says; whether the names are limits is the service's to check."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter("the file cannot be read, or is no TOML", param_hint="--limits") from error
