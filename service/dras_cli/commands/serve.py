"""`dras serve`: gateway and worker on this machine, with nothing to install."""

import json
from pathlib import Path
from typing import Any

import click

from dras_cli.options import AnyPath, EncoderChoice, encoder_options, json_option
from dras_service.observability.logs import configure_logging
from dras_service.serve import serve as serve_until_stopped
from dras_service.settings import Settings, read_settings


@click.command()
@click.option("--host", help="Address to bind; a loopback one unless callers must prove who they are.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind; 0 takes a free one.")
@click.option("--require-key", is_flag=True, help="Let nobody in without a key of `dras keys create`.")
@click.option(
    "--worker/--no-worker",
    "with_worker",
    default=True,
    help="Whether to compute here, too, or only elsewhere.",
)
@click.option("--data", type=AnyPath, help="Folder for the database, the studies and the results.")
@encoder_options
@click.option(
    "--offer", "offered", metavar="NAME|PATH", multiple=True, help="A further bundle that a job may choose."
)
@json_option
def serve(
    *,
    host: str | None,
    port: int | None,
    require_key: bool,
    with_worker: bool,
    data: Path | None,
    encoder: EncoderChoice,
    offered: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the service until Ctrl-C.

    Options win over the environment (DRAS_GATEWAY__PORT, DRAS_DATA and the like). Without keys or tokens
    (--require-key, DRAS_AUTHENTICATION__OIDC__…) only a loopback address is taken.
    """
    worker = encoder.given() | _given(offered=offered or None)
    settings = _settings(gateway=_given(host=host, port=port), worker=worker, top=_given(data=data))
    if require_key:
        authentication = settings.authentication.model_copy(update={"required": True})
        settings = settings.model_copy(update={"authentication": authentication})
    configure_logging(settings)

    def announce(url: str) -> None:
        line = json.dumps({"url": url}) if as_json else f"dras is ready at {url}, data in {settings.data}"
        click.echo(line)

    serve_until_stopped(settings, announce=announce, with_worker=with_worker)


def _settings(*, gateway: dict[str, Any], worker: dict[str, Any], top: dict[str, Any]) -> Settings:
    """Read the environment and put the options that were given over it. Raises CannotServe."""
    read = read_settings()
    return read.model_copy(
        update={
            "gateway": read.gateway.model_copy(update=gateway),
            "worker": read.worker.model_copy(update=worker),
            **top,
        }
    )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
