"""A DICOM segmentation as a label map on the grid of its scan (PS3.3 A.51): the segment number is the label.

Binary segments and label maps are read, fractional ones are not. Frames without content are usually left out
of the file, so each frame is placed by its own position. What a segment means is not looked at.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dras_model.imaging.volume import MOST_VOXELS, Grid, Matrix
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # PS3.6 A; pydicom 3.0 has no name for it
TOLERANCE = 0.1  # of a voxel, at every corner of a frame


def read_segments(path: Path, grid: Grid) -> NDArray[np.uint8]:
    """Read a segmentation object into labels (z, y, x) on `grid`.

    Raises StudyRefused: MASK_INVALID, MASK_GEOMETRY where a frame's pixels are no voxels of the grid.
    """
    try:
        dataset = pydicom.dcmread(path)
        frames, is_map = _frames(dataset)
        places = [_affine(dataset, index) for index in range(len(frames))]
        numbers = [0 if is_map else _segment_number(dataset, index) for index in range(len(frames))]
    except StudyRefused:
        raise
    except Exception as error:  # pydicom's faults on damaged objects are no closed set
        raise _invalid("its DICOM attributes cannot be read") from error
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for frame, affine, number in zip(frames, places, numbers, strict=True):
        pixels = np.argwhere(frame)
        z, y, x = _voxels(pixels, frame.shape, affine, grid).T
        values = frame[pixels[:, 0], pixels[:, 1]] if is_map else np.uint8(number)
        taken = labels[z, y, x]
        if np.any((taken != 0) & (taken != values)):
            raise _invalid("its segments overlap")
        labels[z, y, x] = values
    return labels


def _frames(dataset: Dataset) -> tuple[NDArray[np.uint8], bool]:
    """Return the pixels (frame, row, column) and whether their values are segment numbers."""
    kind = str(dataset.get("SegmentationType", ""))
    if dataset.get("SOPClassUID") not in (SegmentationStorage, LABEL_MAP_STORAGE):
        raise _invalid("it is DICOM, but no segmentation")
    if kind not in ("BINARY", "LABELMAP"):
        raise _invalid(f"a segmentation of type {kind or 'unknown'} holds no labels")
    n_voxels = int(dataset.NumberOfFrames) * int(dataset.Rows) * int(dataset.Columns)
    if n_voxels > 4 * MOST_VOXELS:
        raise StudyRefused(Code.VOLUME_TOO_LARGE, megavoxels=n_voxels / 1e6, limit=4 * MOST_VOXELS / 1e6)
    pixels = np.asarray(dataset.pixel_array)
    if pixels.max(initial=0) > 255:
        raise _invalid("its segment numbers run beyond 255")
    return pixels.reshape(-1, int(dataset.Rows), int(dataset.Columns)).astype(np.uint8), kind == "LABELMAP"


def _item(dataset: Dataset, index: int, sequence: str) -> Dataset:
    """Return a functional group of a frame: its own, or the one that all frames share (PS3.3 C.7.6.16)."""
    own = dataset.PerFrameFunctionalGroupsSequence[index]
    groups = own if sequence in own else dataset.SharedFunctionalGroupsSequence[0]
    item: Dataset = groups[sequence].value[0]
    return item


def _segment_number(dataset: Dataset, index: int) -> int:
    number = int(_item(dataset, index, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    if not 1 <= number <= 255:
        raise _invalid("its segment numbers run beyond 255")
    return number


def _affine(dataset: Dataset, index: int) -> Matrix:
    """Return the matrix (3, 3) from (row, column, 1) of a frame to LPS mm (PS3.3 C.7.6.2.1.1)."""
    cosines = _numbers(_item(dataset, index, "PlaneOrientationSequence").ImageOrientationPatient)
    spacing = _numbers(_item(dataset, index, "PixelMeasuresSequence").PixelSpacing)
    position = _numbers(_item(dataset, index, "PlanePositionSequence").ImagePositionPatient)
    affine: Matrix = np.stack([cosines[3:] * spacing[0], cosines[:3] * spacing[1], position], axis=1)
    return affine


def _numbers(values: Any) -> Matrix:
    return np.array([float(value) for value in values])


def _voxels(
    pixels: NDArray[np.int64], shape: tuple[int, ...], affine: Matrix, grid: Grid
) -> NDArray[np.int64]:
    """Return the voxels (n, 3) of a frame's pixels (n, 2); MASK_GEOMETRY where they lie between voxels."""
    corners = np.array([(r, c, 1) for r in (0, shape[0] - 1) for c in (0, shape[1] - 1)])
    index = grid.to_index(corners @ affine.T)
    size = " x ".join(f"{np.linalg.norm(affine[:, a]):.3f}" for a in (1, 0))
    off = np.abs(index - np.rint(index)).max()
    if off > TOLERANCE or np.any(np.rint(index) < 0) or np.any(np.rint(index) >= grid.shape):
        raise StudyRefused(
            Code.MASK_GEOMETRY,
            mask=f"frames of {shape[1]} x {shape[0]} pixels of {size} mm",
            scan=f"{grid.shape[2]} x {grid.shape[1]} x {grid.shape[0]} voxels of {grid.spacing_mm[2]:.3f} mm",
        )
    step = np.linalg.inv(grid.affine)[:3, :3] @ affine[:, :2]
    voxels: NDArray[np.int64] = np.rint(index[0] + pixels @ step.T).astype(np.int64)
    return voxels


def _invalid(reason: str) -> StudyRefused:
    return StudyRefused(Code.MASK_INVALID, reason=reason)
