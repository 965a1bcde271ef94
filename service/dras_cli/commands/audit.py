"""`dras audit`: the log of who did what. Works on the database, so on the service's machine."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.stores import opened_store, operator, settings_with
from dras_service.errors import CannotServe
from dras_service.security.actions import Action, Outcome
from dras_service.store.audit import AuditLog
from dras_service.store.database import EVERYBODY
from dras_service.store.rows import AuditEntry

_BLOCK = 1000
_data = click.option(
    "--data", type=AnyPath, help="The service's data folder, where it is not the default one."
)


@click.group("audit")
def audit() -> None:
    """Verify and export the audit log."""


@audit.command("verify")
@click.option(
    "--head",
    metavar="SEQ:HASH",
    help="An entry that was noted elsewhere before; that it is still there shows a log written anew.",
)
@_data
@json_option
def verify(*, head: str | None, data: Path | None, as_json: bool) -> None:
    """Check that no entry was changed, added or removed. Prints the last entry's number and hash.

    Who can write the database can write a new log: keep what this prints on another machine, and give it
    as --head the next time.
    """
    with opened_store(settings_with(data)) as store:
        broken = store.audit.first_broken()
        seq, last_hash = store.audit.head()
        if broken is None and head is not None and not _has(store.audit, head):
            broken = _number(head)
    if broken is not None:
        raise CannotServe("AUDIT_BROKEN", f"Entry {broken} of the audit log was changed, removed or added.")
    if as_json:
        click.echo(json.dumps({"entries": seq, "head": f"{seq}:{last_hash}"}))
    else:
        click.echo(f"{seq} entries, none changed. Head: {seq}:{last_hash}")


@audit.command("export")
@click.option("--tenant", help="Only what was done in this tenant's name.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries after this number.")
@click.option("-o", "--out", type=AnyPath, help="File to write; standard output by default.")
@_data
def export(*, tenant: str | None, after: int, out: Path | None, data: Path | None) -> None:
    """Write the entries as JSON lines, with the hashes that chain them. The export is an entry itself."""
    with opened_store(settings_with(data)) as store:
        store.audit.append(
            Action.AUDIT_EXPORT,
            "-",
            tenant=tenant or EVERYBODY,
            actor=operator(),
            outcome=Outcome.SUCCESS,
            detail={"after": after},
        )
        try:
            if out is None:
                for entry in _entries(store.audit, after, tenant):
                    click.echo(_line(entry))
            else:
                with out.open("x", encoding="utf-8") as file:
                    file.writelines(f"{_line(entry)}\n" for entry in _entries(store.audit, after, tenant))
        except OSError as error:
            reason = error.strerror or "writing failed"
            raise CannotServe("FILE_NOT_WRITABLE", f"The file cannot be written ({reason}).") from error


def _entries(log: AuditLog, seq: int, tenant: str | None) -> Iterator[AuditEntry]:
    while block := log.after(seq, tenant=tenant, limit=_BLOCK):
        yield from block
        seq = block[-1].seq


def _line(entry: AuditEntry) -> str:
    return json.dumps(asdict(entry) | {"detail": json.loads(entry.detail)})


def _has(log: AuditLog, head: str) -> bool:
    seq, _, noted = head.partition(":")
    if _number(head) == 0:
        return True
    found = log.after(int(seq) - 1, limit=1)
    return bool(found) and found[0].seq == int(seq) and found[0].hash == noted


def _number(head: str) -> int:
    seq = head.partition(":")[0]
    if not seq.isdecimal():
        raise click.BadParameter("give it as `dras audit verify` prints it, SEQ:HASH", param_hint="--head")
    return int(seq)
