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
from dras_cli.stores import opened_store, settings_with
from dras_service.errors import CannotServe
from dras_service.observability.logs import configure_logging
from dras_service.pacs.configuration import Configuration, read_configuration
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.installed import require_pynetdicom
from dras_service.pacs.retrieve.archive import open_archive
from dras_service.pacs.retrieve.query import Archive, StudyQuery
from dras_service.store.opening import open_blobs
from dras_service.store.rows import Delivery

_config = click.option(
    "--config",
    type=AnyPath,
    required=True,
    envvar="DRAS_PACS",
    show_envvar=True,
    metavar="FILE.toml",
    help="Who we are, whom we know, and where studies go.",
)
_day = click.DateTime(["%Y-%m-%d"])


@click.group("pacs")
def pacs() -> None:
    """Receive studies from a PACS, find and fetch them there, send results back."""


@pacs.command("listen")
@_config
@click.option("--check", is_flag=True, help="Check the file and end.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen at; 0 takes a free one.")
@click.option("--data", type=AnyPath, help="The service's data folder, where it is not the default one.")
@json_option
def listen(*, config: Path, check: bool, port: int | None, data: Path | None, as_json: bool) -> None:
    """Take studies in by C-STORE and send results back, until Ctrl-C. `dras serve` runs beside and computes."""
    configuration = read_configuration(config)
    require_pynetdicom()
    if check:
        told = {"peers": list(configuration.peers), "routes": list(configuration.routes)}
        click.echo(json.dumps(told) if as_json else _describe(configuration))
        return
    if port is not None:
        node = configuration.node.model_copy(update={"port": port})
        configuration = configuration.model_copy(update={"node": node})
    from dras_service.pacs.receive.listener import listen as listen_until_stopped  # noqa: PLC0415 - heavy

    settings = settings_with(data)
    configure_logging(settings)
    blobs = open_blobs(settings)
    blobs.prepare()

    def announce(port: int) -> None:
        title = configuration.node.ae_title
        line = json.dumps({"ae_title": title, "port": port})
        click.echo(line if as_json else f"{title} listens at port {port}, data in {settings.data}")

    with opened_store(settings) as store:
        listen_until_stopped(configuration, store=store, blobs=blobs, settings=settings, announce=announce)


@pacs.command("deliveries")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--resend", type=int, metavar="NUMBER", help="Send this one again, whatever became of it.")
@click.option("--data", type=AnyPath, help="The service's data folder, where it is not the default one.")
@json_option
def deliveries(*, limit: int, resend: int | None, data: Path | None, as_json: bool) -> None:
    """List results on their way to other systems, newest first: sent, waiting or given up, and why."""
    with opened_store(settings_with(data)) as store:
        if resend is not None and not store.outbox.resend(resend):
            raise CannotServe("DELIVERY_NOT_FOUND", "There is no such delivery; see `dras pacs deliveries`.")
        found = store.outbox.deliveries(limit=limit)
    for delivery in found:
        state = _state(delivery)
        if as_json:
            click.echo(json.dumps({**asdict(delivery), "state": state}))
        else:
            why = delivery.fault or ""
            click.echo(
                f"{delivery.id}  {delivery.job_id}  {delivery.target}  {state}"
                f"  attempts {delivery.attempts}  {why}".rstrip()
            )


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


def _describe(configuration: Configuration) -> str:
    node = configuration.node
    lines = [f"{node.ae_title} at {node.host}:{node.port}{' with TLS' if node.tls else ''}"]
    for name, peer in configuration.peers.items():
        lines.append(f"peer {name}: {peer.ae_title} from {', '.join(peer.addresses)}")
    for name, route in configuration.routes.items():
        target = f", results to {', '.join(route.send_to)}" if route.send_to else ""
        lines.append(f"route {name}: tenant {route.tenant}, complete after {route.quiet_s:g} s{target}")
    if not configuration.routes:
        lines.append("no route: every study is refused")
    return "\n".join(lines)


def _state(delivery: Delivery) -> str:
    if delivery.done_at is None:
        return "waits"
    return "sent" if delivery.fault is None else "given up"
