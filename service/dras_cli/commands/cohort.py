"""`dras cohort`: many stored results as one Parquet table; no CT is needed."""

import glob
import json
from pathlib import Path
from typing import TextIO

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.progress import progress_bar
from dras_model.outputs.cohort import Rows, write_cohort


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULT]...")
@click.option(
    "--from",
    "listed",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="A result a line; - is standard input.",
)
@click.option(
    "-o",
    "--out",
    type=AnyPath,
    required=True,
    metavar="TABLE.parquet",
    help="The table; appears when complete.",
)
@click.option(
    "--rows",
    type=click.Choice(["regions", "studies", "patches"]),
    default="regions",
    show_default=True,
    help="What a row is: a region of a study, a study with a column a region and score, or a patch.",
)
@click.option("--wide", "rows", flag_value="studies", help="The same as --rows studies.")
@click.option("--embeddings", is_flag=True, help="Add to each study the mean embedding of its valid patches.")
@click.option("--force", is_flag=True, help="Replace a table that exists.")
@json_option
def cohort(
    *,
    results: tuple[str, ...],
    listed: TextIO | None,
    out: Path,
    rows: Rows,
    embeddings: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Put many RESULTs into one Parquet table, and those that cannot be read into TABLE.failures.csv.

    A RESULT is an output folder of `dras extract`, its result.json, or a quoted pattern such as 'runs/*'.
    """
    if embeddings and rows != "studies":
        raise click.UsageError("--embeddings belongs to --rows studies; --rows patches has every embedding.")
    if out.suffix != ".parquet":
        raise click.UsageError(f"the table is Parquet; give a name that ends in .parquet, not {out.name!a}.")
    paths = _paths(results, listed.read().splitlines() if listed is not None else [])
    if not paths:
        raise click.UsageError("name a result; no pattern and no list has any.")
    with progress_bar("reading results") as report:
        found = write_cohort(paths, out, rows=rows, embeddings=embeddings, overwrite=force, report=report)
    if as_json:
        told = {"table": str(out), "rows": found.n_rows, "results": found.n_results, "read": found.n_read}
        click.echo(json.dumps({**told, "failures": str(found.failures)}))
        return
    click.echo(f"{found.n_read} of {found.n_results} results, {found.n_rows} rows, written to {out}.")
    if found.n_read < found.n_results:
        click.echo(f"{found.n_results - found.n_read} could not be read; {found.failures} says why.")


def _paths(named: tuple[str, ...], listed: list[str]) -> list[Path]:
    """Return the results named, in their order and each once; what a pattern names is sorted."""
    found: dict[Path, None] = {}
    for name in (*named, *(line.strip() for line in listed if line.strip())):
        path = Path(name)
        if glob.has_magic(name) and not path.exists():
            root = Path(path.anchor)
            found |= dict.fromkeys(sorted(root.glob(str(path.relative_to(root)))))
        else:
            found[path] = None
    return list(found)
