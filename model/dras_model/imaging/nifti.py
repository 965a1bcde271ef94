"""NIfTI in and out, with the affine turned between its RAS (x, y, z) and our LPS (z, y, x).

A file whose header gives no geometry (both form codes zero) is refused: geometry is never invented.
nibabel is loaded where it is needed: it takes as long as all else that a reading process loads.
"""

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.pixels import Allocate, check_hu, new_array
from dras_model.imaging.volume import (
    AIR_HU,
    MOST_VOXELS,
    PADDING_BELOW_HU,
    GeometryError,
    Grid,
    Matrix,
    Volume,
)
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

if TYPE_CHECKING:
    import nibabel as nib

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_REVERSED = np.eye(4)[[2, 1, 0, 3]]
LEAST_SIDE = 12  # voxels
MOST_ITEM_BYTES = 8
MOST_OFFSET = 64 << 20  # bytes of header and extensions
MOST_TRAILING = 1 << 20  # bytes behind the voxels
MOST_MM = 1e6  # of a position or a voxel size
MOST_DEFLATED = 1032  # deflate's highest ratio (zlib, technical details)
_GZIP = b"\x1f\x8b"
_GZIP_FRAME = 31  # zlib's name for a window of 32 kB within a gzip frame
GZIP_LEVEL = 3  # as fast as 1 on label maps, and smaller (decision 0029)
_VOXELS_AT = (
    352  # where the voxels begin: the header of NIfTI-1, and four bytes that say there is no more of it
)
_HEAD_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348


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
    except (OSError, EOFError, zlib.error):
        return False
    return _version(head) is not None


def read_nifti(path: Path, *, allocate: Allocate = new_array) -> Volume:
    """Read a CT in HU, in memory from `allocate`. Raises StudyRefused: NIFTI_INVALID, VOLUME_TOO_LARGE, NOT_HU."""
    hu, grid = load_array(path, allocate=allocate)
    if min(hu.shape) < LEAST_SIDE:
        raise StudyRefused(Code.NIFTI_INVALID, reason=f"it has only {min(hu.shape)} voxels along one axis")
    for plane in hu:
        plane[~np.isfinite(plane) | (plane < PADDING_BELOW_HU)] = AIR_HU
    check_hu(hu)
    return Volume(hu, grid)


def load_array(path: Path, *, allocate: Allocate = new_array) -> tuple[NDArray[np.float32], Grid]:
    """Read one 3-D image as float32 (z, y, x) with its grid; little more is inflated than the header says.

    Raises StudyRefused: NIFTI_INVALID, VOLUME_TOO_LARGE.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP
        with gzip.open(path) if compressed else path.open("rb") as stream:
            layout = _read_layout(stream)
            _check_length(layout, path.stat().st_size * (MOST_DEFLATED if compressed else 1))
            array = allocate(layout.shape)
            _read_voxels(stream, layout, array)
    except (StudyRefused, MemoryError):
        raise
    except Exception as error:  # nibabel's, gzip's and NumPy's faults on damaged files are no closed set
        raise StudyRefused(Code.NIFTI_INVALID, reason="it is damaged or no NIfTI image") from error
    try:
        grid = Grid(layout.shape, grid_affine(layout.affine))
    except GeometryError as error:
        raise StudyRefused(Code.NIFTI_INVALID, reason=str(error)) from error
    return array, grid


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """What a checked header says: where the voxels lie in the file, and where in the patient (RAS)."""

    shape: tuple[int, int, int]  # (z, y, x): of the file's (x, y, z) the first runs fastest
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_layout(stream: io.BufferedIOBase) -> _Layout:
    import nibabel as nib  # noqa: PLC0415 - see the top

    head = stream.read(_HEAD_BYTES)
    version = _version(head)
    if version is None:
        raise ValueError("no NIfTI magic")
    header_class = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    header = header_class(head[: header_class.sizeof_hdr])  # type: ignore[no-untyped-call]
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        raise StudyRefused(Code.NIFTI_INVALID, reason="its header gives no position and orientation")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > MOST_ITEM_BYTES:
        raise StudyRefused(Code.NIFTI_INVALID, reason="its voxels are no real numbers of at most 64 bits")
    offset = float(header["vox_offset"])
    if not header.sizeof_hdr <= offset <= MOST_OFFSET:  # false for NaN too
        raise StudyRefused(Code.NIFTI_INVALID, reason="its voxels begin at no possible place in the file")
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not np.all(np.abs(affine) < MOST_MM):
        raise StudyRefused(Code.NIFTI_INVALID, reason="its position or voxel size is no possible one")
    slope, intercept = header.get_slope_inter()  # None where the header has none
    return _Layout(
        shape=_shape(header),
        dtype=dtype,
        offset=int(offset),
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        affine=affine,
    )


def _shape(header: "nib.Nifti1Header") -> tuple[int, int, int]:
    """Return the sizes (z, y, x); further axes may have one element."""
    sizes = [int(size) for axis, size in enumerate(header.get_data_shape()) if axis < 3 or size != 1]
    if len(sizes) != 3:
        raise StudyRefused(Code.NIFTI_INVALID, reason=f"it has {len(sizes)} dimensions, 3 are needed")
    if min(sizes) < 1:
        raise StudyRefused(Code.NIFTI_INVALID, reason="it has no voxels along one axis")
    if (n_voxels := math.prod(sizes)) > MOST_VOXELS:
        raise StudyRefused(Code.VOLUME_TOO_LARGE, megavoxels=n_voxels / 1e6, limit=MOST_VOXELS / 1e6)
    return sizes[2], sizes[1], sizes[0]


def _check_length(layout: _Layout, most_bytes: int) -> None:
    """Refuse before anything is allocated where the file cannot hold the voxels."""
    if layout.offset + layout.n_bytes > most_bytes:
        raise EOFError("the file is shorter than its header says")


def _read_voxels(stream: io.BufferedIOBase, layout: _Layout, array: NDArray[np.float32]) -> None:
    """Read the voxels plane by plane, scaled; values beyond float32 become infinite."""
    stream.seek(layout.offset)
    size = array[0].size * layout.dtype.itemsize
    for plane in array:
        content = stream.read(size)
        if len(content) < size:
            raise EOFError("the file is shorter than its header says")
        values = np.frombuffer(content, dtype=layout.dtype).reshape(plane.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            if (layout.slope, layout.intercept) == (1.0, 0.0):
                plane[:] = values
            else:
                plane[:] = values * np.float64(layout.slope) + np.float64(layout.intercept)
    # gzip compares its checksum at the end only, so the end must be reached, and be near.
    if len(stream.read(MOST_TRAILING + 1)) > MOST_TRAILING:
        raise StudyRefused(Code.NIFTI_INVALID, reason="it holds more data than its header says")


def _version(head: bytes) -> int | None:
    """Return 1 or 2 for a header with NIfTI's magic (at 344, at 4), None for another file."""
    if head[344:348] == b"n+1\0":
        return 1
    return 2 if head[4:8] == b"n+2\0" else None


def grid_affine(ras_xyz: NDArray[np.generic]) -> Matrix:
    """Turn a NIfTI affine, (x, y, z) to RAS, into a grid's, (z, y, x) to LPS."""
    affine: Matrix = _RAS_TO_LPS @ np.asarray(ras_xyz, dtype=np.float64) @ _REVERSED
    return affine


def nifti_affine(grid: Grid) -> Matrix:
    """Turn a grid's affine into NIfTI's, (x, y, z) to RAS mm."""
    affine: Matrix = _RAS_TO_LPS @ grid.affine @ _REVERSED
    return affine


def write_nifti(path: Path, array: NDArray[np.generic], grid: Grid) -> None:
    """Write (z, y, x) or (z, y, x, channel) as NIfTI-1, gzipped for a `.gz`; equal content gives equal bytes.

    The voxels go from the array to the file: nibabel's own way copies a label map of 300 slices four times.
    """
    import nibabel as nib  # noqa: PLC0415 - see the top

    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape((*array.shape[2::-1], *array.shape[3:]))
    header.set_qform(nifti_affine(grid), code="scanner")
    header.set_sform(nifti_affine(grid), code="scanner")
    header.set_xyzt_units("mm")
    header["vox_offset"] = _VOXELS_AT
    head = header.binaryblock + bytes(_VOXELS_AT - header.sizeof_hdr)
    voxels = np.ascontiguousarray(array if array.ndim == 3 else np.moveaxis(array, 3, 0))
    with path.open("wb") as file:
        if not path.name.endswith(".gz"):
            file.write(head)
            file.write(voxels.data)
            return
        deflate = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_FRAME)  # tells no time and no name
        file.write(deflate.compress(head))
        for plane in voxels:
            file.write(deflate.compress(plane.data))
        file.write(deflate.flush())
