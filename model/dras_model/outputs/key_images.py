"""What a result keeps of the scan to show: three sections and a map of low attenuation, as `key_images.npz`.

They are made while the volume is in memory, so that a report can be drawn at any later time without the CT. Pixels
are stored as a viewer sees them: the first row is the head or the front, the first column the patient's right or,
in a sagittal section, the front. Leaves out how they are drawn (`outputs.report.sections`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, ORIENTATION, RIGHT
from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.volume import GeometryError, Grid, LabelMap, Volume
from dras_model.outputs.masks import LOW
from dras_model.outputs.npz import ArchiveError, read_npz, write_npz

WINDOW_HU = (-1350.0, 150.0)  # the usual lung window: level -600, width 1500
MARGIN_MM = 12.0  # of the body around the lungs
MUCH_LUNG = 0.7  # of the widest section: a section with less is not shown, however low its attenuation
CELL_MM = 5.0  # of the map: holds hundreds of voxels front to back, and is seen on paper
PLANES = MappingProxyType({"coronal": 1, "sagittal": 2, "axial": 0})  # array axis that a section is taken of
_FLIPPED = MappingProxyType({"coronal": (0,), "sagittal": (0, 1), "axial": (0,)})  # LAS to what a viewer sees
_PARTS = ("grey", "labels", "low", "pixel_mm", "place")
_MAP = ("map_lung", "map_low", "map_mm", "map_start", "grid_affine", "grid_shape")


class KeyImagesError(ValueError):
    """A file holds no key images; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One section: `grey` (rows, columns) uint8 over WINDOW_HU, `labels` RIGHT and LEFT, `low` at or below -950 HU.

    `pixel_mm` is (row, column); `place` the number of the section from 1 and of how many, counted from the head,
    the front or the patient's right.
    """

    grey: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    low: NDArray[np.bool_]
    pixel_mm: tuple[float, float]
    place: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class KeyImages:
    """Sections by plane, and voxels counted from front to back in cells of about CELL_MM, as a viewer sees them.

    `map_lung` and `map_low` (rows, columns) int64; `map_mm` the size of a cell (row, column); `map_start` the
    first plane (z, x) of `grid`, the scan in LAS, that was counted.
    """

    sections: Mapping[str, Section]
    map_lung: NDArray[np.int64]
    map_low: NDArray[np.int64]
    map_mm: tuple[float, float]
    map_start: tuple[int, int]
    grid: Grid

    def on_map(self, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map LPS mm (n, 3) to millimetres (n, 2) right of and below the upper left corner of the map."""
        z, _, x = (self.grid.to_index(world_mm) + 0.5).T
        height = self.map_lung.shape[0] * self.map_mm[0]
        spacing = self.grid.spacing_mm
        across = (x - self.map_start[1]) * spacing[2]
        return np.stack([across, height - (z - self.map_start[0]) * spacing[0]], axis=1)


def take_key_images(volume: Volume, lungs: LabelMap, low_attenuation: LabelMap) -> KeyImages:
    """Choose and cut the sections, and count the map; all share one grid, of orientation LAS.

    A section is the one with most low attenuation among those with MUCH_LUNG. ValueError for another orientation.
    """
    if lungs.grid.orientation != ORIENTATION:
        raise ValueError(f"orient the volume to {ORIENTATION} first, found {lungs.grid.orientation}")
    z, y, x = (round(MARGIN_MM / size_mm) for size_mm in lungs.grid.spacing_mm)
    box = bounding_box(low_attenuation.labels, (z, y, x)) or CORNER
    marks = low_attenuation.labels[box]
    lung_zx, lung_zy = _counts(marks, 1)
    low_zx, low_zy = _counts(marks, LOW)
    along = {0: (lung_zx.sum(1), low_zx.sum(1)), 1: (lung_zy.sum(0), low_zy.sum(0)),
             2: (lung_zx.sum(0), low_zx.sum(0))}  # fmt: skip
    sections = {
        name: _section(name, volume, lungs, low_attenuation, box=box, index=_informative(*along[axis]))
        for name, axis in PLANES.items()
    }
    dz, _, dx = volume.grid.spacing_mm
    steps = max(1, round(CELL_MM / dz)), max(1, round(CELL_MM / dx))
    return KeyImages(
        sections=sections,
        map_lung=_cells(lung_zx, steps)[::-1],
        map_low=_cells(low_zx, steps)[::-1],
        map_mm=(steps[0] * dz, steps[1] * dx),
        map_start=(box[0].start, box[2].start),
        grid=volume.grid,
    )


def _counts(marks: NDArray[np.uint8], least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count voxels of at least `least` from front to back (z, x) and from side to side (z, y)."""
    n_z, n_y, n_x = marks.shape
    across_y, across_x = np.zeros((n_z, n_x), np.uint16), np.zeros((n_z, n_y), np.uint16)
    for n, plane in enumerate(marks):
        seen = (plane >= least).view(np.uint8)
        np.add.reduce(seen, axis=0, dtype=np.uint16, out=across_y[n])
        np.add.reduce(seen, axis=1, dtype=np.uint16, out=across_x[n])
    return across_y.astype(np.int64), across_x.astype(np.int64)


def _informative(lung: NDArray[np.int64], low: NDArray[np.int64]) -> int:
    """Return the section with most low attenuation among those with much lung; with most lung where none is low."""
    much = lung >= MUCH_LUNG * lung.max()
    return int(np.where(much, low * (lung.max() + 1) + lung, -1).argmax())


def _section(
    name: str, volume: Volume, lungs: LabelMap, low_attenuation: LabelMap, *, box: Box, index: int
) -> Section:
    axis = PLANES[name]
    rows, columns = (each for each in range(3) if each != axis)
    flipped = _FLIPPED[name]
    low_hu, high_hu = WINDOW_HU
    within = (*box[:axis], box[axis].start + index, *box[axis + 1 :])
    hu, labels = volume.hu[within], lungs.labels[within]
    grey = np.clip(np.rint((hu - low_hu) * (255.0 / (high_hu - low_hu))), 0, 255).astype(np.uint8)
    number, of = box[axis].start + index, volume.grid.shape[axis]
    spacing = volume.grid.spacing_mm
    return Section(
        grey=np.flip(grey, flipped),
        labels=np.flip(np.where(labels <= max(RIGHT, LEFT), labels, 0), flipped),
        low=np.flip(low_attenuation.labels[within] == LOW, flipped),
        pixel_mm=(spacing[rows], spacing[columns]),
        place=(number + 1 if name == "sagittal" else of - number, of),
    )


def _cells(counts: NDArray[np.int64], steps: tuple[int, int]) -> NDArray[np.int64]:
    """Sum counts (z, x) over cells of `steps`; the last ones are filled up with nothing."""
    padded = np.pad(counts, [(0, -size % step) for size, step in zip(counts.shape, steps, strict=True)])
    n_z, n_x = (size // step for size, step in zip(padded.shape, steps, strict=True))
    summed: NDArray[np.int64] = padded.reshape(n_z, steps[0], n_x, steps[1]).sum(axis=(1, 3))
    return summed


def write_key_images(path: Path, images: KeyImages) -> None:
    """Write `key_images.npz`; equal content gives equal bytes."""
    arrays: dict[str, Any] = {
        f"{plane}_{part}": getattr(section, part)
        for plane, section in images.sections.items()
        for part in _PARTS
    }
    arrays |= {name: getattr(images, name) for name in _MAP[:4]}
    arrays |= {"grid_affine": images.grid.affine, "grid_shape": images.grid.shape}
    write_npz(path, arrays, compressed=True)


def read_key_images(path: Path) -> KeyImages:
    """Read what `write_key_images` wrote. Raises KeyImagesError where it is damaged or something else."""
    try:
        arrays = read_npz(path)
    except ArchiveError as fault:
        raise KeyImagesError(str(fault)) from fault
    try:
        return _images(arrays)
    except (KeyError, TypeError, ValueError, GeometryError) as fault:
        raise KeyImagesError("its arrays do not belong together") from fault


def _images(arrays: Mapping[str, Any]) -> KeyImages:
    sections = {plane: _read_section(arrays, plane) for plane in PLANES}
    lung, low = (np.asarray(arrays[name], dtype=np.int64) for name in _MAP[:2])
    if lung.ndim != 2 or lung.shape != low.shape or (low > lung).any() or (low < 0).any():
        raise ValueError("a map of other counts")
    shape = tuple(int(n) for n in arrays["grid_shape"])
    row_mm, column_mm = (float(mm) for mm in arrays["map_mm"])
    first_z, first_x = (int(n) for n in arrays["map_start"])
    return KeyImages(
        sections=sections,
        map_lung=lung,
        map_low=low,
        map_mm=(row_mm, column_mm),
        map_start=(first_z, first_x),
        grid=Grid((shape[0], shape[1], shape[2]), arrays["grid_affine"]),
    )


def _read_section(arrays: Mapping[str, Any], plane: str) -> Section:
    grey, labels, low = (arrays[f"{plane}_{part}"] for part in _PARTS[:3])
    if grey.ndim != 2 or not grey.shape == labels.shape == low.shape or low.dtype != np.bool_:
        raise ValueError("sections of several shapes")
    row_mm, column_mm = (float(mm) for mm in arrays[f"{plane}_pixel_mm"])
    number, of = (int(n) for n in arrays[f"{plane}_place"])
    if min(row_mm, column_mm) <= 0.0 or grey.dtype != np.uint8 or labels.dtype != np.uint8:
        raise ValueError("a section of other pixels")
    return Section(grey, labels, low, (row_mm, column_mm), (number, of))
