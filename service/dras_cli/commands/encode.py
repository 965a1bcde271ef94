"""`dras model encode`: embeddings of patches that were cut elsewhere."""

import json
import tokenize
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from dras_cli.options import AnyPath, device_options, json_option
from dras_cli.progress import stage_bars
from dras_model.encoder.architecture import PATCH_SIZE
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.library import open_weights
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

_INT16 = np.iinfo(np.int16)
# What NumPy and the parser of Python's literals, which reads the header, are known to raise on damaged files.
_NPY_FAULTS = (
    ValueError, TypeError, EOFError, MemoryError, OverflowError, RecursionError, SyntaxError, tokenize.TokenError,
)  # fmt: skip


@click.command("encode")
@click.argument("name", metavar="BUNDLE")
@click.option("--patches", type=AnyPath, required=True, help="NumPy file (n, 32, 32, 32) of HU, int16.")
@click.option("--index", type=AnyPath, required=True, help="NumPy file (n,): which corner each was cut at.")
@click.option("-o", "--out", type=AnyPath, required=True, help="The .npy file to write, (n, width) float32.")
@click.option("--atlas", metavar="NAME|PATH", help="Atlas to use; the one that BUNDLE names, by default.")
@device_options
@json_option
def encode(
    *,
    name: str,
    patches: Path,
    index: Path,
    out: Path,
    atlas: str | None,
    device: Literal["cpu", "cuda"] | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Embed patches with BUNDLE, a name or a path; its atlas is found in the library.

    Patches are HU as the authors cut them, before any windowing. Values of another type are taken where each is
    a whole number that int16 holds; nothing is rounded.
    """
    hu = _patches(patches)
    corners = _index(index, n_patches=len(hu))
    opened, bundle = open_weights(name, atlas)
    locations = _locations(opened, corners, path=index)
    encoder = Encoder.open(bundle, device=device or "cpu", threads=threads)
    with stage_bars() as report:
        embeddings = encoder.encode(hu, locations, report=report)
    try:
        with out.open("wb") as file:
            np.save(file, embeddings)
    except OSError as error:
        reason = error.strerror or "writing failed"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(out), reason=reason) from error
    if as_json:
        facts = {"path": str(out), "shape": embeddings.shape, "atlas": opened.name, "device": encoder.device}
        click.echo(json.dumps({**facts, "weights": bundle.provenance_of(encoder.form.file).model_dump()}))
    else:
        click.echo(f"{len(embeddings)} embeddings of {encoder.rep_dim} numbers written to {out}.")


def _patches(path: Path) -> NDArray[np.int16]:
    """Read HU (n, 32, 32, 32) of any type whose values are int16's."""
    values = _array(path)
    cube = (PATCH_SIZE,) * 3
    if values.ndim != 4 or values.shape[1:] != cube:
        raise _bad(path, f"holds {values.shape}, (n, {', '.join(map(str, cube))}) is expected")
    if values.dtype == np.int16:
        return values.astype(np.int16)  # whatever its byte order
    if values.dtype.kind not in "iuf":
        raise _bad(path, f"holds {values.dtype}, HU as int16 are expected")
    with np.errstate(invalid="ignore"):
        whole = (values == np.trunc(values)) & (values >= _INT16.min) & (values <= _INT16.max)
    if not whole.all():
        n_other = np.count_nonzero(~whole)
        raise _bad(
            path, f"holds {values.dtype} of which {n_other} are no whole HU of int16; int16 is expected"
        )
    return values.astype(np.int16)


def _index(path: Path, *, n_patches: int) -> NDArray[np.int64]:
    values = _array(path)
    if values.shape != (n_patches,):
        raise _bad(path, f"holds {values.shape}, ({n_patches},) is expected, one corner a patch")
    if values.dtype.kind not in "iu":
        raise _bad(path, f"holds {values.dtype}, whole numbers are expected")
    return values.astype(np.int64)


def _locations(atlas: Atlas, corners: NDArray[np.int64], *, path: Path) -> NDArray[np.float32]:
    n_corners = len(atlas.corners)
    outside = np.flatnonzero((corners < 0) | (corners >= n_corners))
    if len(outside):
        found = int(corners[outside[0]])
        raise _bad(path, f"names corner {found}; the atlas {atlas.name} has 0 to {n_corners - 1}")
    locations: NDArray[np.float32] = atlas.locations[corners]
    return locations


def _array(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})") from error
    except _NPY_FAULTS as error:
        raise _bad(path, "is no complete NumPy file (.npy) of numbers") from error
    return array


def _bad(path: Path, reason: str) -> click.BadParameter:
    return click.BadParameter(f"{path} {reason}.")
