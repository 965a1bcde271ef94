"""`dras keys`: who may use a service over the network. Works on the database, so on the service's machine."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.stores import opened_store, operator, settings_with
from dras_service.api.scopes import Scope
from dras_service.errors import CannotServe
from dras_service.security.actions import Action, Outcome
from dras_service.security.keys import new_key
from dras_service.security.tenants import TENANT_NAME
from dras_service.store.database import EVERYBODY
from dras_service.store.rows import ApiKey

_DAY_S = 86_400.0
_DEFAULT_SCOPES = (Scope.SUBMIT, Scope.READ, Scope.CANCEL)
_data = click.option(
    "--data", type=AnyPath, help="The service's data folder, where it is not the default one."
)


@click.group("keys")
def keys() -> None:
    """Make, list and revoke the keys that a service lets callers in by."""


@keys.command("create")
@click.option("--tenant", default="default", show_default=True, help="Whose studies the key is for.")
@click.option("--label", default="", help="What the key is for; nobody's name.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    help="What it allows, once each; submit, read and cancel by default.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Until it expires."
)
@click.option(
    "-o", "--out", type=AnyPath, help="Write the key to this new file, for its owner alone to read."
)
@_data
@json_option
def create(
    *,
    tenant: str,
    label: str,
    scopes: tuple[str, ...],
    days: int,
    out: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Make a key. It is shown this once: the service keeps a hash of it and nothing else.

    A tenant that is not there yet is made. Clients take the key from DRAS_API_KEY or from a file.
    """
    if not TENANT_NAME.fullmatch(tenant):
        raise click.BadParameter("a tenant is 1 to 40 of a-z, 0-9, - and _", param_hint="--tenant")
    key = new_key()
    chosen = tuple(sorted(scopes or _DEFAULT_SCOPES))
    with opened_store(settings_with(data)) as store:
        store.tenants.create(tenant)
        row = store.keys.add(
            key.id,
            key.secret_sha256,
            tenant=tenant,
            label=label[:100],
            scopes=chosen,
            expires_at=time.time() + days * _DAY_S,
        )
        store.audit.append(
            Action.KEY_CREATE,
            f"key:{key.id}",
            tenant=tenant,
            actor=operator(),
            outcome=Outcome.SUCCESS,
            detail={"scopes": list(chosen)},
        )
    if out is not None:
        _write(out, key.token)
    if as_json:
        shown = _shown(row) | ({"key": key.token} if out is None else {"file": str(out)})
        click.echo(json.dumps(shown))
        return
    click.echo(f"Key {key.id} of {tenant}, for {days} days: {', '.join(chosen)}.", err=True)
    if out is None:
        click.echo("It is shown this once:", err=True)
        click.echo(key.token)
    else:
        click.echo(f"It is in {out}.", err=True)


@keys.command("list")
@click.option("--tenant", help="Only the keys of this tenant.")
@_data
@json_option
def list_(*, tenant: str | None, data: Path | None, as_json: bool) -> None:
    """List the keys there are, revoked and expired ones included."""
    with opened_store(settings_with(data)) as store:
        found = store.keys.all(tenant=tenant)
    if as_json:
        click.echo(json.dumps({"keys": [_shown(row) for row in found]}))
        return
    for row in found:
        used = "never used" if row.last_used_at is None else f"used {_day(row.last_used_at)}"
        click.echo(
            f"{row.id}  {row.tenant}  {_state(row)}  {used}  {','.join(row.scopes)}  {row.label}".rstrip()
        )
    if not found:
        click.echo("There is no key.")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_data
@json_option
def revoke(*, key_id: str, data: Path | None, as_json: bool) -> None:
    """Revoke the key ID, as `dras keys list` shows it; it is refused from the next request on."""
    with opened_store(settings_with(data)) as store:
        row = store.keys.find(key_id)
        revoked = row is not None and store.keys.revoke(key_id, tenant=row.tenant)
        store.audit.append(
            Action.KEY_REVOKE,
            "-" if row is None else f"key:{row.id}",
            tenant=EVERYBODY if row is None else row.tenant,
            actor=operator(),
            outcome=Outcome.SUCCESS if revoked else Outcome.NOT_FOUND,
        )
    if not revoked:
        raise CannotServe("KEY_NOT_FOUND", "There is no such key that is not revoked; see `dras keys list`.")
    click.echo(json.dumps({"id": key_id, "revoked": True}) if as_json else f"Key {key_id} is revoked.")


def _shown(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "label": row.label,
        "scopes": list(row.scopes),
        "state": _state(row).split()[0],
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    }


def _state(row: ApiKey) -> str:
    if row.revoked_at is not None:
        return f"revoked {_day(row.revoked_at)}"
    if row.expires_at is None:
        return "valid"
    state = "expired" if row.expires_at <= time.time() else "valid until"
    return f"{state} {_day(row.expires_at)}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _write(path: Path, token: str) -> None:
    """Write a file that is not there yet, with its final permissions from the first byte on."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")
    except OSError as error:
        reason = error.strerror or "writing failed"
        raise CannotServe("FILE_NOT_WRITABLE", f"The key's file cannot be written ({reason}).") from error
