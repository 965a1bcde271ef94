"""`dras serve`: gateway and worker on this machine, with nothing to install."""

import json
import logging
from pathlib import Path
from typing import Any

import click

from dras_cli.options import AnyPath, EncoderChoice, encoder_options, json_option
from dras_service.serve import serve as serve_until_stopped
from dras_service.settings import Settings, read_settings

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@click.command()
@click.option("--host", help="Loopback address to bind.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind; 0 takes a free one.")
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
    data: Path | None,
    encoder: EncoderChoice,
    offered: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the service until Ctrl-C.

    Options win over the environment (DRAS_GATEWAY__PORT, DRAS_DATA and the like). There is no
    authentication yet, so only a loopback address is taken.
    """
    worker = encoder.given() | _given(offered=offered or None)
    settings = _settings(gateway=_given(host=host, port=port), worker=worker, top=_given(data=data))
    logging.basicConfig(level=settings.log_level, format=_LOG_FORMAT)

    def announce(url: str) -> None:
        line = json.dumps({"url": url}) if as_json else f"dras is ready at {url}, data in {settings.data}"
        click.echo(line)

    serve_until_stopped(settings, announce=announce)


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
