"""Voxels and the affine they never travel without.

Arrays are indexed (z, y, x). World coordinates are LPS millimetres (DICOM PS3.3 C.7.6.2). A `Grid`'s
affine maps an array index (z, y, x), in that order, to (L, P, S). An orientation names where x, y and
z grow to, in that order: DICOM's usual axial series is "LPS", the atlas of the method is "LAS".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]
Spacing: TypeAlias = tuple[float, float, float]  # (z, y, x) in mm
Voxel = TypeVar("Voxel", bound=np.generic)

MOST_VOXELS = 1_500_000_000  # of a study
AIR_HU = np.float32(-1024.0)  # what padding becomes, as in the method's own padding
PADDING_BELOW_HU = np.float32(-1200.0)  # no tissue and no noise of a scanner in use lies below
AXIS_ANGLE_TOLERANCE = 1e-3  # |cos| between two axes; direction cosines arrive as rounded decimal text
SAME_SPACING = 1e-3  # by which two spacings differ that are the same; they arrive as rounded decimal text
_LETTERS = ("RL", "AP", "IS")  # against and along each LPS axis


class GeometryError(ValueError):
    """An affine or an array cannot form a grid."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A regular, orthogonal lattice in the patient: `shape` (z, y, x) and `affine` (4, 4) to LPS mm."""

    shape: tuple[int, int, int]
    affine: Matrix

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise GeometryError("an affine is a finite 4 x 4 matrix")
        if min(self.shape) < 1:
            raise GeometryError(f"a grid has at least one voxel along every axis, found {self.shape}")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if np.any(spacing < 1e-3):
            raise GeometryError("a voxel has a positive size along every axis")
        cosines = affine[:3, :3] / spacing
        if np.max(np.abs(cosines.T @ cosines - np.eye(3))) > AXIS_ANGLE_TOLERANCE:
            raise GeometryError("the axes of a grid are orthogonal; shear a tilted series first")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> Spacing:
        """Voxel size (z, y, x)."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def slice_axis(self) -> int:
        """Array axis along which slices are stacked, as `slice_axis` tells it."""
        return slice_axis(self.spacing_mm)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def orientation(self) -> str:
        """Where x, y and z grow to, to the nearest anatomical axis, as in "LAS"."""
        axes, signs = _nearest_axes(self.affine)
        return "".join(_LETTERS[axes[i]][int(signs[i] > 0)] for i in (2, 1, 0))

    def to_world(self, index: NDArray[np.generic]) -> Matrix:
        """Map indices (..., 3) in (z, y, x) to LPS mm (..., 3)."""
        world: Matrix = np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return world

    def to_index(self, world_mm: NDArray[np.generic]) -> Matrix:
        """Map LPS mm (..., 3) to continuous indices (..., 3) in (z, y, x)."""
        inverse = np.linalg.inv(self.affine)
        index: Matrix = np.asarray(world_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
        return index

    def same_as(self, other: "Grid", *, tolerance_mm: float = 1e-2) -> bool:
        """Whether both grids hold the same voxels, corner for corner."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.max(np.abs(self.to_world(corners) - other.to_world(corners))) <= tolerance_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A CT: `hu` (z, y, x) float32 in Hounsfield units on `grid`; padding is already air."""

    hu: NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        _match(self.hu, self.grid)
        if self.hu.dtype != np.float32:
            raise GeometryError(f"Hounsfield units are float32, found {self.hu.dtype}")

    def oriented(self, orientation: str) -> "Volume":
        """The same voxels with x, y and z growing towards `orientation`; nothing is interpolated."""
        array, grid = _reorient(self.hu, self.grid, orientation)
        return Volume(array, grid)


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A segmentation: `labels` (z, y, x) uint8 on `grid`; the maker documents the values."""

    labels: NDArray[np.uint8]
    grid: Grid

    def __post_init__(self) -> None:
        _match(self.labels, self.grid)
        if self.labels.dtype != np.uint8:
            raise GeometryError(f"labels are uint8, found {self.labels.dtype}")

    def oriented(self, orientation: str) -> "LabelMap":
        """The same voxels with x, y and z growing towards `orientation`; nothing is interpolated."""
        array, grid = _reorient(self.labels, self.grid, orientation)
        return LabelMap(array, grid)


def slice_axis(spacing_mm: Sequence[float]) -> int:
    """Return which of three voxel sizes is the distance of the slices; a NIfTI image may hold them along any axis.

    Pixels are square, so it is the one that the other two do not share; the largest where all three differ, the
    first where they are equal.
    """
    order = np.argsort(spacing_mm, kind="stable")
    finest, middle, coarsest = (spacing_mm[axis] for axis in order)
    if coarsest - finest <= SAME_SPACING * coarsest:
        return 0
    are_pixels = coarsest - middle <= SAME_SPACING * coarsest  # the two coarser ones
    return int(order[0] if are_pixels else order[2])


def _match(array: NDArray[np.generic], grid: Grid) -> None:
    if array.shape != grid.shape:
        raise GeometryError(f"array {array.shape} and grid {grid.shape} differ")


def _nearest_axes(affine: Matrix) -> tuple[tuple[int, ...], Matrix]:
    """World axis and sign for each array axis: the permutation that keeps most of the cosines."""
    matrix = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes = max(permutations(range(3)), key=lambda p: sum(abs(matrix[p[i], i]) for i in range(3)))
    return axes, np.array([np.sign(matrix[axes[i], i]) for i in range(3)])


def _reorient(array: NDArray[Voxel], grid: Grid, orientation: str) -> tuple[NDArray[Voxel], Grid]:
    target = [_world_axis(letter) for letter in reversed(orientation)]  # (axis, sign) for z, y, x
    if sorted(axis for axis, _ in target) != [0, 1, 2]:
        raise GeometryError(f"an orientation names each anatomical axis once, found {orientation!r}")
    axes, signs = _nearest_axes(grid.affine)
    step = np.zeros((4, 4))
    step[3, 3] = 1.0
    order, flips = [], []
    for new, (axis, sign) in enumerate(target):
        old = axes.index(axis)
        flip = signs[old] != sign
        step[old, new] = -1.0 if flip else 1.0
        step[old, 3] = grid.shape[old] - 1 if flip else 0.0
        order.append(old)
        flips.append(slice(None, None, -1) if flip else slice(None))
    moved = np.ascontiguousarray(array.transpose(order)[tuple(flips)])
    return moved, Grid((moved.shape[0], moved.shape[1], moved.shape[2]), grid.affine @ step)


def _world_axis(letter: str) -> tuple[int, int]:
    for axis, pair in enumerate(_LETTERS):
        if letter in pair:
            return axis, 1 if pair.index(letter) == 1 else -1
    raise GeometryError(f"{letter!r} is no anatomical direction")
