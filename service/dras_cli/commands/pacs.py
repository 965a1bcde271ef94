"""`dras pacs`: the DICOM node, and what can be asked of the systems it knows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option
from dras_service.errors import CannotServe
from dras_service.pacs.configuration import read_configuration
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.retrieve.archive import open_archive
from dras_service.pacs.retrieve.query import Archive, StudyQuery

_config = click.option(
    "--config",
    type=AnyPath,
    required=True,
    envvar="DRAS_PACS",
    metavar="FILE.toml",
    help="Who we are, whom we know, and where studies go.",
)
_day = click.DateTime(["%Y-%m-%d"])


@click.group("pacs")
def pacs() -> None:
    """Receive studies from a PACS, find and fetch them there, send results back."""


@pacs.command("find")
@click.argument("peer")
@click.option("--patient-id", help="Only of this patient; * and ? stand for anything.")
@click.option("--accession", help="Only of this accession number.")
@click.option("--description", help="Only with this study description; * and ? stand for anything.")
@click.option("--since", type=_day, help="Only of this day or later.")
@click.option("--until", type=_day, help="Only of this day or earlier.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many.")
@_config
@json_option
def find(  # noqa: PLR0913 - an option a matching key
    *,
    peer: str,
    patient_id: str | None,
    accession: str | None,
    description: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    config: Path,
    as_json: bool,
) -> None:
    """List the studies with CT that PEER has: UID, date, images and description of each, a line a study."""
    query = StudyQuery(
        patient_id=patient_id,
        accession_number=accession,
        description=description,
        since=None if since is None else since.date(),
        until=None if until is None else until.date(),
    )
    with _archive(config, peer) as archive:
        for study in islice(archive.find_studies(query), limit):
            if as_json:
                click.echo(json.dumps(asdict(study)))
            else:
                told = (study.study_uid, study.study_date, study.n_instances, study.description)
                click.echo("  ".join(str(part) for part in told if part is not None))


@pacs.command("fetch")
@click.argument("peer")
@click.argument("study_uid")
@click.option(
    "-o", "--out", type=AnyPath, required=True, help="Folder for the images; may hold some already."
)
@_config
@json_option
def fetch(*, peer: str, study_uid: str, out: Path, config: Path, as_json: bool) -> None:
    """Fetch the CT images of the study STUDY_UID from PEER; what is there already is not fetched again."""
    with _archive(config, peer) as archive:
        fetched = archive.fetch_study(study_uid, out)
    if as_json:
        click.echo(json.dumps({"folder": str(out), **asdict(fetched)}))
    else:
        click.echo(f"{fetched.n_files} images in {out}, {fetched.n_new} of them new.")


@contextmanager
def _archive(config: Path, peer: str) -> Iterator[Archive]:
    try:
        with open_archive(read_configuration(config), peer) as archive:
            yield archive
    except PeerFailed as error:
        raise CannotServe("PACS_FAILED", str(error)) from error
