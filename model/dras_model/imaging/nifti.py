"""NIfTI in and out, with the affine turned between its RAS (x, y, z) and our LPS (z, y, x).

A file whose header gives no geometry (both form codes zero) is refused: geometry is never invented.
"""

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from dras_model.imaging.pixels import AIR_HU, PADDING_BELOW_HU, check_hu
from dras_model.imaging.volume import GeometryError, Grid, Matrix, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_REVERSED = np.eye(4)[[2, 1, 0, 3]]
_UNREADABLE = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, zlib.error)
LEAST_SIDE = 12  # voxels
MOST_BYTES = 6 << 30  # inflated; a study of 1,500 million voxels of 16 bits is half of it
_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 348


def is_nifti(path: Path) -> bool:
    """Whether a file is single-file NIfTI by its name or, an upload has none, by its header."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head[:2] == _GZIP:
            with gzip.open(path) as inflated:
                head = inflated.read(_HEAD_BYTES)
    except _UNREADABLE:
        return False
    return _class_of(head) is not None


def read_nifti(path: Path) -> Volume:
    """Read a CT in HU. Raises StudyRefused: NIFTI_INVALID, NOT_HU."""
    array, grid = load_array(path)
    hu = array.astype(np.float32, copy=False)
    if min(hu.shape) < LEAST_SIDE:
        raise StudyRefused(Code.NIFTI_INVALID, reason=f"it has only {min(hu.shape)} voxels along one axis")
    hu[~np.isfinite(hu) | (hu < PADDING_BELOW_HU)] = AIR_HU
    check_hu(hu)
    return Volume(hu, grid)


def load_array(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read one 3-D image as float32 (z, y, x) with its grid. Raises StudyRefused: NIFTI_INVALID."""
    try:
        content = _content(path)
        image_class = _class_of(content[:_HEAD_BYTES])
        if image_class is None:
            raise ImageFileError("no NIfTI magic")
        image = image_class.from_bytes(content)
        if image.header["sform_code"] == 0 and image.header["qform_code"] == 0:
            raise StudyRefused(Code.NIFTI_INVALID, reason="its header gives no position and orientation")
        array = np.asarray(image.dataobj, dtype=np.float32)
    except _UNREADABLE as error:
        raise StudyRefused(Code.NIFTI_INVALID, reason="it is damaged or no NIfTI image") from error
    array = array.reshape([size for axis, size in enumerate(array.shape) if axis < 3 or size > 1])
    if array.ndim != 3:
        raise StudyRefused(Code.NIFTI_INVALID, reason=f"it has {array.ndim} dimensions, 3 are needed")
    try:
        grid = Grid(array.shape[::-1], grid_affine(image.affine))
    except GeometryError as error:
        raise StudyRefused(Code.NIFTI_INVALID, reason=str(error)) from error
    return np.ascontiguousarray(array.transpose(2, 1, 0)), grid


def _content(path: Path) -> bytes:
    """Read a file, inflated where it is compressed, up to MOST_BYTES."""
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    with gzip.open(path) if compressed else path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise StudyRefused(Code.NIFTI_INVALID, reason=f"it holds more than {MOST_BYTES >> 30} GiB")
    return content


def _class_of(head: bytes) -> type[nib.Nifti1Image] | None:
    """Return nibabel's class for a header (NIfTI-1: magic at 344, NIfTI-2: at 4), None for another file."""
    if head[344:348] == b"n+1\0":
        return nib.Nifti1Image
    return nib.Nifti2Image if head[4:8] == b"n+2\0" else None


def grid_affine(ras_xyz: NDArray[np.generic]) -> Matrix:
    """Turn a NIfTI affine, (x, y, z) to RAS, into a grid's, (z, y, x) to LPS."""
    affine: Matrix = _RAS_TO_LPS @ np.asarray(ras_xyz, dtype=np.float64) @ _REVERSED
    return affine


def nifti_affine(grid: Grid) -> Matrix:
    """Turn a grid's affine into NIfTI's, (x, y, z) to RAS mm."""
    affine: Matrix = _RAS_TO_LPS @ grid.affine @ _REVERSED
    return affine


def write_nifti(path: Path, array: NDArray[np.generic], grid: Grid) -> None:
    """Write (z, y, x) or (z, y, x, channel) as NIfTI-1; equal content gives equal bytes."""
    axes = (2, 1, 0, 3) if array.ndim == 4 else (2, 1, 0)
    image = nib.Nifti1Image(array.transpose(axes), nifti_affine(grid))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=3, mtime=0)
    path.write_bytes(content)
