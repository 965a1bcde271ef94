"""`dras export`: other forms of a stored result, mostly without the CT."""

import json
from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option, page_options
from dras_model.exporting import export as export_stored
from dras_model.exporting import forms_of
from dras_model.outputs.exports import EXPORTS, GROUPS
from dras_model.outputs.report.page import Page
from dras_model.outputs.stored import DEFAULT_FEATURE


def _forms(_ctx: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the forms that a comma-separated list names. Raises click.BadParameter."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    try:
        forms = forms_of(names)
    except KeyError as unknown:
        known = ", ".join((*EXPORTS, *GROUPS))
        raise click.BadParameter(f"{unknown.args[0]!a} is no form; there are {known}.") from unknown
    if not forms:
        raise click.BadParameter("name at least one form.")
    return forms


def _described() -> str:
    width = max(map(len, (*EXPORTS, *GROUPS)))
    rows = [
        f"  {name:<{width}}  {form.summary}{' (needs --source)' if form.needs_source else ''}"
        for name, form in EXPORTS.items()
    ]
    rows += [f"  {name:<{width}}  {' and '.join(members)}" for name, members in GROUPS.items()]
    return "\b\nForms:\n" + "\n".join(rows)


@click.command(epilog=_described())
@click.argument("result", type=AnyPath)
@click.option(
    "--to", "forms", required=True, metavar="FORM[,FORM…]", callback=_forms, help="Forms, as listed below."
)
@click.option("-o", "--out", type=AnyPath, required=True, help="Folder for the files; appears when complete.")
@click.option(
    "--source", type=AnyPath, metavar="CT", help="The study's images, for the forms that refer to them."
)
@click.option(
    "--feature",
    metavar="NAME",
    default=DEFAULT_FEATURE,
    show_default=True,
    help="What `map` shows: a column of patches.csv, or component-N of the embedding.",
)
@page_options
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@json_option
def export(
    *,
    result: Path,
    forms: tuple[str, ...],
    out: Path,
    source: Path | None,
    feature: str,
    page: Page,
    force: bool,
    as_json: bool,
) -> None:
    """Write other forms of RESULT, an output folder of `dras extract` of this or a former version."""
    files = export_stored(
        result, out, forms=forms, source=source, overwrite=force, page=page, map_feature=feature
    )
    if as_json:
        click.echo(json.dumps({"folder": str(out), "files": files}))
    else:
        click.echo(f"Written to {out}: {', '.join(files)}.")
