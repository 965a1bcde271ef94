"""`dras tenants`: whose studies a service keeps, what they take up, and how much they may.

Works on the database, so on the service's machine. Tenants are made with their first key (`dras keys create`).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dras_cli.options import AnyPath, json_option
from dras_cli.stores import opened_store, operator, settings_with
from dras_service.errors import CannotServe
from dras_service.security.actions import Action, Outcome
from dras_service.store.errors import UnknownTenant
from dras_service.store.rows import Tenant, Usage

_UNLIMITED = "none"
_LIFTED = -1
_METAVAR = f"N|{_UNLIMITED}"
_COLUMNS = {
    "stored_bytes": "max_stored_bytes",
    "queued_jobs": "max_queued_jobs",
    "uploads_per_minute": "uploads_per_minute",
}
_data = click.option(
    "--data", type=AnyPath, help="The service's data folder, where it is not the default one."
)


class Quota(click.ParamType[int]):
    """A whole number from 0 on, or `none`, which is read as `_LIFTED`."""

    name = "quota"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read what was given."""
        if str(value) == _UNLIMITED:
            return _LIFTED
        if not str(value).isdecimal():
            self.fail(f"give a whole number, or {_UNLIMITED} for no limit", param, ctx)
        return int(value)


@click.group("tenants")
def tenants() -> None:
    """List tenants and limit what each takes up."""


@tenants.command("list")
@_data
@json_option
def list_(*, data: Path | None, as_json: bool) -> None:
    """List tenants with what they take up and may."""
    with opened_store(settings_with(data)) as store:
        found = [(tenant, store.tenants.usage(tenant.name)) for tenant in store.tenants.all()]
    if as_json:
        shown = [asdict(tenant) | asdict(usage) for tenant, usage in found]
        click.echo(json.dumps({"tenants": shown}))
        return
    for tenant, usage in found:
        click.echo(_line(tenant, usage))


@tenants.command("limit")
@click.argument("name")
@click.option("--stored-bytes", type=Quota(), metavar=_METAVAR, help="What its studies may take up together.")
@click.option("--queued-jobs", type=Quota(), metavar=_METAVAR, help="How many of its jobs may wait.")
@click.option("--uploads-per-minute", type=Quota(), metavar=_METAVAR, help="How many uploads it may begin.")
@_data
@json_option
def limit(*, name: str, data: Path | None, as_json: bool, **named: int | None) -> None:
    """Set the limits of the tenant NAME; those that are not named stay as they are.

    What is there already stays: a limit refuses what comes.
    """
    quotas = {
        _COLUMNS[key]: None if value == _LIFTED else value
        for key, value in named.items()
        if value is not None
    }
    if not quotas:
        raise click.UsageError("name a limit to set")
    with opened_store(settings_with(data)) as store:
        try:
            store.tenants.set_quotas(name, quotas)
        except UnknownTenant as error:
            raise CannotServe(
                "TENANT_NOT_FOUND", "There is no such tenant; see `dras tenants list`."
            ) from error
        store.audit.append(
            Action.TENANT_LIMIT,
            f"tenant:{name}",
            tenant=name,
            actor=operator(),
            outcome=Outcome.SUCCESS,
            detail=quotas,
        )
        (tenant,) = (each for each in store.tenants.all() if each.name == name)
        usage = store.tenants.usage(name)
    click.echo(json.dumps(asdict(tenant) | asdict(usage)) if as_json else _line(tenant, usage))


def _line(tenant: Tenant, usage: Usage) -> str:
    stored = f"{usage.stored_bytes:,} of {_told(tenant.max_stored_bytes)} bytes"
    queued = f"{usage.queued_jobs:,} of {_told(tenant.max_queued_jobs)} jobs waiting"
    return f"{tenant.name}  {stored}  {queued}  {_told(tenant.uploads_per_minute)} uploads a minute"


def _told(quota: int | None) -> str:
    return "any number" if quota is None else f"{quota:,}"
