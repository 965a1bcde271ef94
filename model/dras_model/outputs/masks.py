"""Label maps as files: the lungs and the low attenuation of a scan, on its native grid, as NIfTI.

They are what a result keeps of the scan itself, so that masks, DICOM objects and a report can be made later without
the CT. The order of the voxels is that of the series (`result.geometry`): an index of one is an index of the other.
Leaves out label maps of users: those are parsed in a process of their own (`imaging.label_map`).
"""

import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.nifti import grid_affine, write_nifti
from dras_model.imaging.volume import GeometryError, Grid, LabelMap, Volume
from dras_model.outputs.names import LOW_ATTENUATION, LUNGS
from dras_model.results.study import Geometry

LOW_ATTENUATION_HU = -950.0  # at or below, as LAA-950insp has it
OUTSIDE, LUNG, LOW = 0, 1, 2  # values of a map of low attenuation
_HEAD_BYTES = 352  # of NIfTI-1 without extensions, which is what is written here


class LabelFileError(ValueError):
    """A file holds no label map of the grid; the text says why, as the end of a sentence."""


def native_grid(geometry: Geometry) -> Grid:
    """Return the grid that a result tells; LabelFileError where what it tells is no grid."""
    x, y, z = geometry.size_xyz
    try:
        rows = np.array(geometry.affine_lps_mm, dtype=np.float64)
        return Grid((z, y, x), rows[:, [2, 1, 0, 3]])
    except (GeometryError, IndexError, ValueError) as fault:
        raise LabelFileError("its geometry is none") from fault


def on_native(labels: LabelMap, geometry: Geometry) -> LabelMap:
    """Return labels of a scan in any order of its axes in the order of its series."""
    return LabelMap(labels.oriented(geometry.orientation).labels, native_grid(geometry))


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """What a result keeps of the scan: `lungs` (1 right, 2 left, 3 airway) and `low_attenuation`, native grid."""

    lungs: LabelMap
    low_attenuation: LabelMap

    @classmethod
    def of(cls, volume: Volume, lungs: LabelMap, geometry: Geometry) -> "Masks":
        """Make them of a scan and its lungs, on one grid of any order of its axes."""
        low = low_attenuation(volume, lungs)
        return cls(on_native(lungs, geometry), on_native(low, geometry))


def write_masks(folder: Path, masks: Masks) -> None:
    """Write both under their names."""
    write_labels(folder / LUNGS, masks.lungs)
    write_labels(folder / LOW_ATTENUATION, masks.low_attenuation)


def low_attenuation(volume: Volume, lungs: LabelMap) -> LabelMap:
    """Return OUTSIDE, LUNG and LOW of both lungs, the airway outside; `volume` and `lungs` share a grid."""
    found = np.zeros(volume.hu.shape, dtype=np.uint8)
    for plane, hu, labels in zip(found, volume.hu, lungs.labels, strict=True):
        lung = (labels == RIGHT) | (labels == LEFT)
        np.add(
            lung, lung & (hu <= LOW_ATTENUATION_HU), out=plane, dtype=np.uint8
        )  # LUNG, and LOW one above it
    return LabelMap(found, lungs.grid)


def write_labels(path: Path, labels: LabelMap) -> None:
    """Write a label map as gzipped NIfTI of unsigned bytes; equal content gives equal bytes."""
    write_nifti(path, labels.labels, labels.grid)


def read_labels(path: Path, grid: Grid) -> LabelMap:
    """Read what `write_labels` wrote for `grid`. Raises LabelFileError; no more is inflated than the grid holds."""
    try:
        with gzip.open(path) as stream:
            content = stream.read(_HEAD_BYTES + grid.n_voxels + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise LabelFileError("it cannot be read") from fault
    if len(content) != _HEAD_BYTES + grid.n_voxels:
        raise LabelFileError("it is shorter or longer than the result's voxels")
    try:
        header = nib.Nifti1Header.from_fileobj(io.BytesIO(content[:_HEAD_BYTES]))
        stored = Grid(header.get_data_shape()[::-1], grid_affine(header.get_best_affine()))
        kind, offset = header.get_data_dtype(), header.get_data_offset()
    except Exception as fault:  # nibabel's and NumPy's faults on damaged headers are no closed set
        raise LabelFileError("it is damaged or no NIfTI image") from fault
    if stored.shape != grid.shape or kind != np.uint8 or offset != _HEAD_BYTES:
        raise LabelFileError("it holds no labels of the result's voxels")
    if not stored.same_as(grid):
        raise LabelFileError("it lies elsewhere than the result says")
    labels: NDArray[np.uint8] = np.frombuffer(content, np.uint8, offset=_HEAD_BYTES).reshape(grid.shape)
    return LabelMap(labels, grid)
