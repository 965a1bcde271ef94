"""`dras fsck`: a service's files against its database. Works on both, so on the service's machine."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from dras_cli.boundary import SETUP
from dras_cli.options import AnyPath, json_option
from dras_cli.stores import opened_store, operator, settings_with
from dras_service.fsck import SENTENCES, Checker, Finding
from dras_service.store.opening import open_blobs

_LEAST_SETTLED_S = 3600.0  # nothing is under way for longer, but for a job at its limit


@click.command("fsck")
@click.option("--deep", is_flag=True, help="Also read every file and compare its hash.")
@click.option("--repair", is_flag=True, help="Mend what is found; each repair is written to the audit log.")
@click.option("--data", type=AnyPath, help="The service's data folder, where it is not the default one.")
@json_option
def fsck(*, deep: bool, repair: bool, data: Path | None, as_json: bool) -> int:
    """Compare the files of a service with its database. The service may be running meanwhile.

    A repair removes what no row speaks of, lays damaged files aside under `damaged`, and writes that a study
    or a result is gone where it is, so that the same upload is computed anew. Exit status 4 says that
    something is wrong and was not repaired.
    """
    settings = settings_with(data)
    blobs = open_blobs(settings)
    blobs.prepare()
    with opened_store(settings) as store:
        checker = Checker(
            store,
            blobs,
            root=settings.blob_folder,
            deep=deep,
            repair=repair,
            settled_s=max(_LEAST_SETTLED_S, 2 * settings.worker.time_limit_s),
            actor=operator(),
        )
        found = tuple(checker.run())
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in found]}))
    else:
        _print(found)
    return SETUP if any(not finding.repaired for finding in found) else 0


def _print(found: tuple[Finding, ...]) -> None:
    for finding in found:
        state = "repaired" if finding.repaired else "found"
        click.echo(f"{state}  {finding.damage}: {SENTENCES[finding.damage]}  {finding.key}")
    if not found:
        click.echo("Files and database agree.")
