"""`dras model encode`: embeddings of patches that were cut elsewhere."""

import zipfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from dras_cli.options import AnyPath, EncoderChoice, encoder_options
from dras_cli.progress import stage_bars
from dras_model.encoder.runtime import Encoder
from dras_model.library import open_atlas, open_bundle
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


@click.command("encode")
@click.argument("patches", type=AnyPath)
@click.option("-o", "--out", type=AnyPath, required=True, help="The .npy file to write, (n, width) float32.")
@encoder_options
def encode(*, patches: Path, out: Path, encoder: EncoderChoice) -> None:
    """Embed PATCHES, a .npz with `patches` (n, 32, 32, 32) int16 HU and `locations` (n, 3) float32."""
    hu, locations = _load(patches)
    bundle = open_bundle(encoder.bundle, open_atlas(encoder.atlas))
    opened = Encoder.open(bundle, device=encoder.device or "cpu", threads=encoder.threads)
    try:
        with stage_bars() as report:
            embeddings = opened.encode(hu, locations, report=report)
    except ValueError as error:
        raise click.BadParameter(f"{patches}: {error}.") from error
    try:
        with out.open("wb") as file:
            np.save(file, embeddings)
    except OSError as error:
        reason = error.strerror or "writing failed"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(out), reason=reason) from error
    click.echo(f"{len(embeddings)} embeddings written to {out}.")


def _load(path: Path) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["patches"], stored["locations"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise click.BadParameter(f"{path} is no .npz file with `patches` and `locations`.") from error
