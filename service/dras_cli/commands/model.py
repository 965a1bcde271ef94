"""`dras model`: model bundles, made, imported, verified, shown, and used alone."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dras_cli.commands.encode import encode
from dras_cli.options import AnyPath, EncoderChoice, atlas_option, encoder_options, json_option
from dras_cli.progress import busy
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_imported, create_untrained
from dras_model.encoder.official import import_checkpoint
from dras_model.encoder.runtime import Encoder
from dras_model.library import bundles_folder, open_atlas, open_bundle

_PLACE = "New folder of the bundle; in the library under its name by default."


@click.group()
def model() -> None:
    """Make, import, verify and show model bundles."""


model.add_command(encode)


@model.command("init")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("-o", "--out", type=AnyPath, help=_PLACE)
@atlas_option
@json_option
def init(*, seed: int, out: Path | None, atlas: str | None, as_json: bool) -> None:
    """Make a bundle of untrained weights, which says so in every result."""
    with busy("drawing weights"):
        bundle = create_untrained(out or bundles_folder() / f"untrained-{seed}", open_atlas(atlas), seed=seed)
    _show(bundle, as_json=as_json)


@model.command("import-official")
@click.argument("checkpoint", type=AnyPath)
@click.option("--config", "configs", type=AnyPath, required=True, help="The configs.json of the training.")
@click.option("--name", default="drasclr", show_default=True, help="What it will be called here.")
@click.option("--licence", default="as published with the checkpoint", show_default=True)
@click.option("-o", "--out", type=AnyPath, help=_PLACE)
@atlas_option
@json_option
def import_official(
    *,
    checkpoint: Path,
    configs: Path,
    name: str,
    licence: str,
    out: Path | None,
    atlas: str | None,
    as_json: bool,
) -> None:
    """Import a checkpoint of the DrasCLR authors. Nothing that the file pickles is run."""
    with busy("importing weights"):
        opened = open_atlas(atlas)
        imported = import_checkpoint(checkpoint, configs, n_patches=len(opened.corners))
        place = out or bundles_folder() / name
        bundle = create_imported(place, imported, opened, name=name, licence=licence)
    _show(bundle, as_json=as_json)


@model.command("verify")
@click.argument("name", metavar="[BUNDLE]", required=False)
@encoder_options
@json_option
def verify(*, name: str | None, encoder: EncoderChoice, as_json: bool) -> None:
    """Check every hash of BUNDLE, a name or a path, and run its golden vectors."""
    with busy("running the golden vectors"):
        bundle = open_bundle(name or encoder.bundle, open_atlas(encoder.atlas))
        Encoder.open(bundle, device=encoder.device or "cpu", threads=encoder.threads)
    _show(bundle, as_json=as_json)


@model.command("show")
@click.argument("name", metavar="[BUNDLE]", required=False)
@encoder_options
@json_option
def show(*, name: str | None, encoder: EncoderChoice, as_json: bool) -> None:
    """Show the manifest of BUNDLE, a name or a path."""
    _show(open_bundle(name or encoder.bundle, open_atlas(encoder.atlas)), as_json=as_json)


@model.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the bundles of the library."""
    folder = bundles_folder()
    found = [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    names = sorted(name for name in found if not name.startswith("."))
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "bundles": names}))
    else:
        click.echo("\n".join(names) or f"There is none in {folder} yet.")


def _show(bundle: Bundle, *, as_json: bool) -> None:
    manifest = bundle.manifest
    if as_json:
        click.echo(json.dumps({"path": str(bundle.path), "manifest": manifest.model_dump(mode="json")}))
        return
    table = Table(show_header=False)
    for fact, value in {
        "name": manifest.name,
        "training": manifest.training.summary,
        "atlas": f"{manifest.atlas.name} ({manifest.atlas.n_patches} patches)",
        "embedding": f"{manifest.encoder.rep_dim} numbers a patch",
        "licence": manifest.licence,
        "intended use": manifest.intended_use,
        "path": str(bundle.path),
    }.items():
        table.add_row(fact, value)
    Console().print(table)
