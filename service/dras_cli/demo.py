"""The main job, end to end, on one machine: the real service, the real SDK, one study.

Everything runs in a temporary data folder on a free port of the loopback, and is stopped at the end,
however it ends.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dras_cli.former import check_replaceable
from dras_cli.phantoms import write_phantom
from dras_cli.progress import busy, job_bar, upload_bar
from dras_cli.tables import print_result
from dras_client import Client
from dras_model.imaging.phantom import Emphysema, PhantomSpec
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.outputs.folder import new_folder
from dras_service.errors import CannotServe

_STOP_WITHIN_S = 30.0
_PHANTOM = PhantomSpec(
    seed=1,
    n_slices=120,
    matrix=256,
    thickness_mm=2.5,
    emphysema=Emphysema(EmphysemaKind.CENTRILOBULAR, 0.15),
)


def run_demo(study: Path | None, out: Path) -> None:
    """Run the demo on `study`, or on a synthetic chest CT. Raises CannotServe, DrasClientError, Refused."""
    replace = check_replaceable(out)
    with (
        tempfile.TemporaryDirectory(prefix="dras-demo-") as room,
        new_folder(out, overwrite=replace) as folder,
    ):
        if study is None:
            study = Path(room) / "phantom"
            with busy("making a synthetic CT"):
                shutil.copy(write_phantom(study, _PHANTOM), folder / "truth.json")
            click.echo("No study was given: a synthetic chest CT with 15 % emphysema is used.")
        with _service(Path(room) / "data") as url, Client(url) as client:
            click.echo(f"The service runs at {url}.")
            with upload_bar() as on_upload:
                job = client.submit(study, on_progress=on_upload)
            with job_bar() as on_progress:
                job.wait(on_progress=on_progress)
            result = job.result()
            job.download(folder)
    print_result(result)
    if (out / "truth.json").exists():
        _print_truth(out / "truth.json")
    click.echo(f"All outputs are in {out}; everything that was started has ended.")


def _print_truth(path: Path) -> None:
    """Print what the phantom's lungs hold, next to what was measured."""
    whole = json.loads(path.read_text("utf-8"))["scanned"][0]
    click.echo(
        f"True of the phantom, as scanned: LAA-950 {whole['laa950_percent']:.2f} %, Perc15"
        f" {whole['perc15_hu']:.0f} HU, volume {whole['volume_ml']:.0f} mL (truth.json tells all regions)."
    )


@contextmanager
def _service(data: Path) -> Iterator[str]:
    """Run `dras serve` for as long as the block; yield its address."""
    command = [sys.executable, "-m", "dras_cli.main", "serve", "--port", "0", "--data", str(data), "--json"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=os.environ
    )
    try:
        with busy("starting the service"):
            line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise CannotServe("SERVICE_NOT_STARTED", "The service did not start; its own words are above.")
        yield json.loads(line)["url"]
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
