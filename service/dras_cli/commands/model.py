"""`dras model`: model bundles, made, imported, shown; verified, signed and used alone by its other commands."""

import json
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from dras_cli.commands.encode import encode
from dras_cli.commands.signing import keygen, sign, trust_
from dras_cli.commands.verify import on_cuda, verify
from dras_cli.options import AnyPath, atlas_option, entry_name, json_option
from dras_cli.progress import busy
from dras_cli.tables import standard_output
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_imported, create_untrained
from dras_model.encoder.manifest import DEVICES, Device, Manifest
from dras_model.encoder.official import import_checkpoint
from dras_model.library import (
    bundles_folder,
    find_atlas,
    load_bundle,
    names_in,
    open_atlas,
    open_bundle,
)
from dras_model.results.errors import SetupRefused

_PLACE = "New folder of the bundle; in the library under its name by default."


@click.group()
def model() -> None:
    """Make, import, verify, sign, show and use model bundles."""


for command in (encode, verify, keygen, sign, trust_):
    model.add_command(command)


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
@click.option(
    "--name", callback=entry_name, default="drasclr", show_default=True, help="What it will be called here."
)
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
    _show(bundle, as_json=as_json, not_imported=imported.unread)


@model.command("show")
@click.argument("name", metavar="[BUNDLE]", required=False)
@json_option
def show(*, name: str | None, as_json: bool) -> None:
    """Show what BUNDLE, a name or a path, says of itself, after checking every hash of it."""
    bundle = open_bundle(None, open_atlas()) if name is None else load_bundle(name)
    _show(bundle, as_json=as_json)


@model.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the bundles of the library, each with its hashes and its signature checked."""
    found = [_outline(name) for name in names_in(bundles_folder())]
    if as_json:
        click.echo(json.dumps({"folder": str(bundles_folder()), "bundles": found}))
    elif not found:
        click.echo(f"There is none in {bundles_folder()} yet.")
    else:
        table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in ("bundle", "weights", "atlas", "signature", "tolerance", "intended use"):
            table.add_column(heading, overflow="fold")
        for bundle in found:
            if bundle["reason"] is not None:
                table.add_row(escape(bundle["bundle"]), f"[red]{escape(bundle['reason'])}[/red]")
                continue
            facts = (bundle[fact] for fact in ("bundle", "training", "atlas", "signature"))
            tolerance = f"{bundle['tolerance']:.1e}"
            table.add_row(*(escape(fact) for fact in facts), tolerance, escape(bundle["intended_use"]))
        standard_output().print(table)


def _outline(name: str) -> dict[str, Any]:
    """Say in a line what a bundle of the library is, or why it is none."""
    try:
        bundle = load_bundle(bundles_folder() / name)
    except SetupRefused as refusal:
        return {"bundle": name, "code": refusal.code, "reason": str(refusal)}
    manifest = bundle.manifest
    return {
        "bundle": name,
        "name": manifest.name,
        "training": manifest.training.summary,
        "atlas": manifest.atlas.name,
        "signature": bundle.signature.summary,
        "tolerance": manifest.tolerance.max_difference,
        "intended_use": manifest.intended_use,
        "graphs": {device: manifest.graph_on(device).file for device in DEVICES},
        "sha256": bundle.sha256,
        "reason": None,
    }


def _show(bundle: Bundle, *, as_json: bool, not_imported: tuple[str, ...] = ()) -> None:
    manifest = bundle.manifest
    in_library = _library_atlas(bundle)
    if as_json:
        facts = {
            "path": str(bundle.path),
            "sha256": bundle.sha256,
            "signature": bundle.signature.model_dump(),
            "atlas_in_library": in_library,
            "manifest": manifest.model_dump(mode="json"),
            **({"not_imported": not_imported} if not_imported else {}),
        }
        click.echo(json.dumps(facts))
        return
    atlas = manifest.atlas
    sizes = manifest.encoder
    table = Table(show_header=False)
    for fact, value in {
        "name": manifest.name,
        "weights": manifest.training.summary,
        **({"not imported": ", ".join(not_imported)} if not_imported else {}),
        "signature": bundle.signature.summary,
        "sha256": bundle.sha256,
        "atlas": f"{atlas.name}, {atlas.n_patches} patches, {atlas.sha256[:12]}"
        + (f" (in the library as {in_library})" if in_library else " (not in the library)"),
        "patches": f"{manifest.preprocessing.orientation}, {manifest.preprocessing.interpolation} at"
        f" {manifest.preprocessing.spacing_mm:g} mm, {manifest.preprocessing.intensity}",
        "encoder": f"{sizes.num_experts} experts, {sizes.rep_dim} numbers a patch",
        **{f"graph on {device}": _graph(manifest, device) for device in DEVICES},
        "CUDA": on_cuda(manifest),
        "licence": manifest.licence,
        "intended use": manifest.intended_use,
        "files": ", ".join(manifest.files),
        "path": str(bundle.path),
    }.items():
        table.add_row(fact, escape(value))
    standard_output().print(table)


def _graph(manifest: Manifest, device: Device) -> str:
    form, limit = manifest.graph_on(device), manifest.tolerance.on(device)
    return (
        f"{form.file}, opset {form.opset}, {form.batch} patches at once; max|Δ| {limit.max_difference:.1e},"
        f" cosine {limit.min_cosine}"
    )


def _library_atlas(bundle: Bundle) -> str | None:
    try:
        return find_atlas(bundle).name
    except SetupRefused:
        return None
