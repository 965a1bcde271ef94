"""`dras atlas`: the atlases of this installation."""

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from dras_cli.options import AnyPath, entry_name, json_option
from dras_cli.tables import standard_output
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.atlas_bundle import import_published, save_atlas
from dras_model.library import BUILTIN, atlases_folder, open_atlas


@click.group()
def atlas() -> None:
    """Import, list and show atlases."""


@atlas.command("import")
@click.option("--lung-mask", type=AnyPath, required=True, help="NIfTI file with the labels of both lungs.")
@click.option("--corners", type=AnyPath, required=True, help="NumPy file with the patch corners, (n, 3).")
@click.option(
    "--name",
    callback=entry_name,
    default="drasclr-copdgene",
    show_default=True,
    help="What it will be called here.",
)
@json_option
def import_(*, lung_mask: Path, corners: Path, name: str, as_json: bool) -> None:
    """Import the atlas that the DrasCLR authors published."""
    if name == BUILTIN:
        raise click.BadParameter(f"{BUILTIN} is the atlas that comes with dras.", param_hint="'--name'")
    imported = import_published(lung_mask, corners, name=name)
    save_atlas(imported, atlases_folder() / name)
    _show(imported, as_json=as_json)


@atlas.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the atlases there are."""
    folder = atlases_folder()
    found = {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
    names = sorted({BUILTIN} | {name for name in found if not name.startswith(".")})
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "atlases": names}))
    else:
        click.echo("\n".join(names))


@atlas.command("show")
@click.argument("name", default=BUILTIN)
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Show what is known of the atlas NAME, a name or a path."""
    _show(open_atlas(name), as_json=as_json)


def _show(shown: Atlas, *, as_json: bool) -> None:
    facts = _facts(shown)
    if as_json:
        click.echo(json.dumps(facts))
        return
    table = Table(show_header=False)
    for fact, value in facts.items():
        table.add_row(fact.replace("_", " "), str(value))
    standard_output().print(table)


def _facts(shown: Atlas) -> dict[str, Any]:
    z, y, x = shown.lungs.grid.shape
    return {
        "name": shown.name,
        "version": shown.version,
        "orientation": shown.orientation,
        "size_xyz": [x, y, z],
        "n_corners": len(shown.corners),
        "patch_size": shown.patch_size,
        "patch_step": shown.patch_step,
        "sha256": shown.sha256,
    }
