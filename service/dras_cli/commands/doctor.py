"""`dras doctor`: whether a service can run here, and what to do where it cannot."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from dras_cli.boundary import SETUP
from dras_cli.options import AnyPath, json_option
from dras_service.doctor.examination import examine


@click.command("doctor")
@click.option("--data", type=AnyPath, help="The service's data folder, where it is not the default one.")
@click.option("--skip-bundle", is_flag=True, help="Do not open the model bundles, which takes seconds.")
@json_option
def doctor(*, data: Path | None, skip_bundle: bool, as_json: bool) -> int:
    """Check configuration, disks, database, broker, clock, sandbox, GPU and model bundle of a service.

    Of each fault it says in one sentence what it is, and in another what cures it. Exit status 4 says that
    the service would not run or would not keep its promises; advice alone leaves it at 0.
    """
    found = tuple(examine(os.environ, data=data, with_bundle=not skip_bundle))
    faults = [fault for fault in found if not fault.is_advice]
    if as_json:
        click.echo(json.dumps({"healthy": not faults, "faults": [asdict(fault) for fault in found]}))
    else:
        for fault in found:
            click.echo(
                f"{'advice' if fault.is_advice else 'fault'}  {fault.code}: {fault.sentence} {fault.cure}"
            )
        click.echo(f"{len(faults)} faults." if faults else "Nothing stands in the way.")
    return SETUP if faults else 0
