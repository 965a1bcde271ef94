"""Emphysema of a known kind, amount and place in the lungs of a real scan: what a phantom has, where no phantom is.

The phantom's own pattern is drawn for the scan's lungs and cut at the level that loses the asked share of their
voxels. A lost voxel keeps its grain: it goes down by what parenchyma around it lies above the hole's density.
Vessels and the border of the lung are spared. A thick slice averages the pattern over its thickness, as a scanner
would. Blur within the slice is left out, so that holes are as sharp as a phantom's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dras_model.imaging.anatomy.shapes import Field, Lattice, Upsampler
from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.distance import signed_distance_mm
from dras_model.imaging.phantom import Emphysema
from dras_model.imaging.phantom.emphysema import LEVELS, emphysema_field, hole_hu, level_of, levels_of
from dras_model.imaging.phantom.scan import LOWEST_HU
from dras_model.imaging.phantom.spec import SUB_SLICE_MM
from dras_model.imaging.phantom.truth import region_mask
from dras_model.imaging.volume import GeometryError, LabelMap, Volume

LATTICE_MM = 3.0
VESSEL_HU, VESSEL_MM = -750.0, 0.8  # denser than this after such a blur is no parenchyma
AROUND_MM, LEAST_AROUND = 3.0, 1e-3  # within which the density of parenchyma is taken, where there is any
BORDER_MM = 1.0  # of the lung that is spared


@dataclass(frozen=True, slots=True, eq=False)
class Inserted:
    """A scan with emphysema, and which voxels (z, y, x) hold it, by the middle of each slice."""

    volume: Volume
    emphysema: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A scan whose lungs can be given emphysema; arrays are those of the lungs' box.

    `labels` (z, y, x) hold RIGHT and LEFT, `eligible` is parenchyma, `around` its HU without grain. `depth` is
    positive in the lungs, mm, on `lattice`, whose frame begins at the scan's first voxel.
    """

    volume: Volume
    box: Box
    labels: NDArray[np.uint8]
    eligible: NDArray[np.bool_]
    around: NDArray[np.float32]
    lattice: Lattice
    depth: Field

    @classmethod
    def of(cls, volume: Volume, lungs: LabelMap) -> "Host":
        """Find what can be lost. GeometryError where z does not grow upwards: thirds are taken by it."""
        if volume.grid.orientation[2] != "S":
            raise GeometryError(
                f"emphysema is put into lungs whose z grows upwards, found {volume.grid.orientation}"
            )
        lung = (lungs.labels == RIGHT) | (lungs.labels == LEFT)
        box = bounding_box(lung, margin=(1, 8, 8)) or CORNER
        axes = _axes_mm(volume, box)
        lattice = Lattice.around(axes, step_mm=LATTICE_MM)
        depth = -signed_distance_mm(_on_lattice(lung, volume, lattice), (LATTICE_MM,) * 3).astype(np.float64)
        hu, inside = volume.hu[box], lung[box]
        _, *pixel_mm = volume.grid.spacing_mm
        parenchyma = inside & (_blurred(hu, VESSEL_MM, pixel_mm) < VESSEL_HU)
        share = _blurred(parenchyma.astype(np.float32), AROUND_MM, pixel_mm)
        summed = _blurred(np.where(parenchyma, hu, np.float32(0.0)), AROUND_MM, pixel_mm)
        around = np.asarray(summed / np.maximum(share, LEAST_AROUND), dtype=np.float32)
        planes = Upsampler(lattice, axes).planes(depth[np.newaxis])
        deep = np.stack([plane[0] > BORDER_MM for plane in planes])
        return cls(volume, box, lungs.labels[box], parenchyma & deep, around, lattice, depth)

    def with_emphysema(self, asked: Emphysema, *, seed: int) -> Inserted:
        """Return the scan with emphysema that takes `asked.fraction` of its lung voxels, in a pattern of `seed`.

        ValueError where the place cannot hold as much.
        """
        pattern = emphysema_field(asked.kind, self.lattice, self.depth, seed=seed)[np.newaxis]
        may_be_lost = self.eligible & region_mask(self.labels, asked.place)
        middle = self._levels(pattern, 0.0)
        n_lost = round(asked.fraction * np.count_nonzero((self.labels == RIGHT) | (self.labels == LEFT)))
        level = level_of(np.bincount(middle[may_be_lost], minlength=LEVELS + 1), n_lost)
        lowered = np.zeros(middle.shape, dtype=np.float32)
        offsets = _thin_slices_mm(self.volume.grid.spacing_mm[0])
        for layer in (self._levels(pattern, by) for by in offsets):
            lost = may_be_lost & (layer >= level)
            lowered[lost] += (hole_hu(layer[lost], level) - self.around[lost]) / len(offsets)
        hu = self.volume.hu.copy()
        hu[self.box] = np.maximum(hu[self.box] + lowered, np.minimum(hu[self.box], LOWEST_HU))
        emphysema = np.zeros(hu.shape, dtype=np.bool_)
        emphysema[self.box] = may_be_lost & (middle >= level)
        return Inserted(Volume(hu, self.volume.grid), emphysema)

    def _levels(self, pattern: Field, by_mm: float) -> NDArray[np.uint16]:
        """Return the pattern's levels (z, y, x) in the box, `by_mm` above the middle of each slice."""
        z, y, x = _axes_mm(self.volume, self.box)
        planes = Upsampler(self.lattice, (z + by_mm, y, x)).planes(pattern)
        return np.stack([levels_of(plane[0].astype(np.float32)) for plane in planes])


def _thin_slices_mm(thickness_mm: float) -> tuple[float, ...]:
    """Return the offsets of the thin slices that a thick one averages."""
    n = max(1, int(np.ceil(thickness_mm / SUB_SLICE_MM)))
    return tuple(float(by) for by in (np.arange(n) - (n - 1) / 2) * thickness_mm / n)


def _axes_mm(volume: Volume, box: Box) -> tuple[Field, Field, Field]:
    z, y, x = (
        spacing * np.arange(part.start, part.stop)
        for spacing, part in zip(volume.grid.spacing_mm, box, strict=True)
    )
    return z, y, x


def _on_lattice(lung: NDArray[np.bool_], volume: Volume, lattice: Lattice) -> NDArray[np.bool_]:
    """Return the mask at the lattice's places; outside of the scan is no lung."""
    found = lung
    for axis, (places, spacing) in enumerate(zip(lattice.axes_mm, volume.grid.spacing_mm, strict=True)):
        index = np.rint(places / spacing).astype(np.int64)
        within = (index >= 0) & (index < lung.shape[axis])
        found = found.take(np.clip(index, 0, lung.shape[axis] - 1), axis=axis)
        found = found & within.reshape([-1 if a == axis else 1 for a in range(3)])
    return found


def _blurred(planes: NDArray[np.float32], sigma_mm: float, pixel_mm: Sequence[float]) -> NDArray[np.float32]:
    """Return `planes` (z, y, x) blurred within each plane."""
    along_y = gaussian_filter1d(planes, sigma_mm / pixel_mm[0], axis=1, mode="nearest")
    return np.asarray(gaussian_filter1d(along_y, sigma_mm / pixel_mm[1], axis=2, mode="nearest"), np.float32)
