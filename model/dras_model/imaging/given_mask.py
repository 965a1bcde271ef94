"""A label map of the user's own, on the grid of the study it belongs to: lungs, lobes, whatever the values say.

NIfTI, NRRD, MHA and DICOM segmentations are read. A mask is never resampled: its voxels are the scan's, or it is
refused. It is not trusted either: `label_map` has another process parse it. What its values mean is the
caller's business (`given_lungs` for lungs).
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dras_model.imaging.given_segments import read_segments
from dras_model.imaging.nifti import is_nifti, load_array
from dras_model.imaging.slices import is_dicom
from dras_model.imaging.volume import MOST_VOXELS, GeometryError, Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

TOLERANCE = 0.1  # of the smallest voxel side; text headers round, and no neighbour is that close
HIGHEST_LABEL = 255
_HEADER_BYTES = 1 << 16
_META_END = re.compile(
    rb"^\s*ElementDataFile\s*=.*$", re.IGNORECASE | re.MULTILINE
)  # the last line of a header
_NRRD, _META = b"NRRD", re.compile(rb"\A\s*(ObjectType|NDims)\s*=", re.IGNORECASE)
# A header that names another file would have us read whatever its author likes.
_ELSEWHERE = {
    "NrrdImageIO": re.compile(rb"^\s*data ?file\s*:", re.IGNORECASE | re.MULTILINE),
    "MetaImageIO": re.compile(rb"^\s*ElementDataFile\s*=(?!\s*LOCAL\s*$)", re.IGNORECASE | re.MULTILINE),
}
_PLACED = {
    "NrrdImageIO": re.compile(rb"^space origin\s*:", re.IGNORECASE | re.MULTILINE),
    "MetaImageIO": re.compile(rb"^\s*(Offset|Origin|Position)\s*=", re.IGNORECASE | re.MULTILINE),
}


def load_label_map(path: Path, grid: Grid) -> LabelMap:
    """Parse the label map at `path`, in this very process, on `grid`, the study's; its axes may have any order.

    Raises StudyRefused: NOT_FOUND, MASK_INVALID, MASK_GEOMETRY, VOLUME_TOO_LARGE.
    """
    if not path.is_file():
        raise StudyRefused(Code.NOT_FOUND, path=str(path))
    if is_dicom(path):
        return LabelMap(read_segments(path, grid), grid)
    array, found = _load(path)
    try:
        given = LabelMap(_as_labels(array), found).oriented(grid.orientation)
    except GeometryError as error:
        raise invalid(str(error)) from error
    if not given.grid.same_as(grid, tolerance_mm=TOLERANCE * min(grid.spacing_mm)):
        raise StudyRefused(Code.MASK_GEOMETRY, mask=describe(given.grid), scan=describe(grid))
    return LabelMap(given.labels, grid)


def sha256_of(path: Path) -> str:
    """Digest of a mask file, for the provenance. Raises StudyRefused NOT_FOUND."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StudyRefused(Code.NOT_FOUND, path=str(path)) from error


def describe(grid: Grid) -> str:
    """Size, voxel and position of a grid in a phrase, as in "512 x 512 x 300 of 0.70 x 0.70 x 1.00 mm from …"."""
    size = " x ".join(str(n) for n in grid.shape[::-1])
    voxel = " x ".join(f"{mm:.3f}" for mm in grid.spacing_mm[::-1])
    place = ", ".join(f"{mm:.2f}" for mm in grid.affine[:3, 3])
    return f"{size} voxels of {voxel} mm, {grid.orientation} from ({place})"


def invalid(reason: str) -> StudyRefused:
    """Return the refusal of a mask that cannot be used."""
    return StudyRefused(Code.MASK_INVALID, reason=reason)


def _load(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read an image file (z, y, x) with its grid, as its header places it."""
    if is_nifti(path):
        try:
            return load_array(path)
        except StudyRefused as refused:
            if refused.code is Code.NIFTI_INVALID:
                raise invalid(str(refused.fields["reason"])) from refused
            raise
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        raise invalid("it cannot be read") from error
    if head.startswith(_NRRD):
        return _load_itk(path, head.split(b"\n\n")[0], "NrrdImageIO")
    if _META.match(head) and (end := _META_END.search(head)):
        return _load_itk(path, head[: end.end()], "MetaImageIO")
    raise invalid("it is no NIfTI, NRRD, MHA or DICOM segmentation")


def _load_itk(path: Path, header: bytes, reader_name: str) -> tuple[NDArray[Any], Grid]:
    if _ELSEWHERE[reader_name].search(header.replace(b"\r", b"")):
        raise invalid("its voxels lie in another file; give one file")
    if not _PLACED[reader_name].search(header):
        raise invalid("its header gives no position")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) != 3 or reader.GetNumberOfComponents() != 1:
            raise invalid(f"it has {len(size)} dimensions of {reader.GetNumberOfComponents()} values, 3 of 1")
        if (n_voxels := float(np.prod(size, dtype=np.float64))) > MOST_VOXELS:
            raise StudyRefused(Code.VOLUME_TOO_LARGE, megavoxels=n_voxels / 1e6, limit=MOST_VOXELS / 1e6)
        image = reader.Execute()
    except RuntimeError as error:  # all that SimpleITK raises
        raise invalid("it is damaged or no image") from error
    return sitk.GetArrayFromImage(image), _grid_of(image)


def _grid_of(image: sitk.Image) -> Grid:
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = direction[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    size_x, size_y, size_z = image.GetSize()
    try:
        return Grid((size_z, size_y, size_x), affine)
    except GeometryError as error:
        raise invalid(str(error)) from error


def _as_labels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the values as uint8; MASK_INVALID unless they are whole numbers from 0 to 255."""
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= HIGHEST_LABEL:  # false for NaN too
        raise invalid(f"its values run from {low:g} to {high:g}, labels from 0 to {HIGHEST_LABEL}")
    labels = array.astype(np.uint8)
    if not np.array_equal(labels, array):
        raise invalid("its values are no whole numbers")
    return labels
