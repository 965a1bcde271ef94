"""The atlas that ships with the product: the mean thorax of `anatomy`, drawn and cut into patches.

It has the size, the orientation and about the volume of the published atlas, so that the same lattice gives
a comparable set of corners. Nothing of the published files is in it, and weights for one do not fit the other.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.anatomy.shapes import Lattice, Upsampler
from dras_model.imaging.anatomy.thorax import MEAN_THORAX, Thorax, thorax_fields
from dras_model.imaging.atlas import LEFT, PATCH_SIZE, PATCH_STEP, RIGHT, Atlas
from dras_model.imaging.volume import Grid, LabelMap

NAME, VERSION = "dras-builtin", "1"
SIZE_XYZ = (387, 387, 319)  # voxels of 1 mm
ORIGIN_XYZ = (188, 187, 146)  # the voxel at the thorax' origin
N_CORNERS = 581
LATTICE_STEP_MM = 4.0


def builtin_atlas() -> Atlas:
    """Draw the atlas; the same voxels and identity every time."""
    lungs = draw_lungs(atlas_grid(), MEAN_THORAX)
    corners = largest_cubes(lungs.labels != 0, N_CORNERS)
    return Atlas.of(lungs, corners, name=NAME, version=VERSION)


def atlas_grid() -> Grid:
    """The grid of the atlas: orientation LAS, 1 mm."""
    x, y, z = ORIGIN_XYZ
    affine = np.array([[0.0, 0, 1, -x], [0, -1, 0, y], [1, 0, 0, -z], [0, 0, 0, 1]])
    return Grid((SIZE_XYZ[2], SIZE_XYZ[1], SIZE_XYZ[0]), affine)


def draw_lungs(grid: Grid, thorax: Thorax) -> LabelMap:
    """Draw RIGHT and LEFT on a grid along the anatomical axes whose world is the thorax' frame."""
    z, y, x = (
        grid.affine[row, 3] + grid.affine[row, column] * np.arange(grid.shape[column])
        for column, row in enumerate((2, 1, 0))
    )
    lattice = Lattice.around((z, y, x), step_mm=LATTICE_STEP_MM)
    fields = np.stack(thorax_fields(lattice.points(np.float64), thorax)[:2])
    # float64, so that no processor's rounding moves a voxel across the surface and changes the identity
    planes = Upsampler(lattice, (z, y, x), dtype=np.float64).planes(fields)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for label, (right, left) in zip(labels, planes, strict=True):
        label[right > 0] = RIGHT
        label[(left > 0) & (left > right)] = LEFT
    return LabelMap(labels, grid)


def largest_cubes(lung: NDArray[np.bool_], n_cubes: int) -> NDArray[np.int64]:
    """Return the corners (n, 3) in (x, y, z) of the lattice cubes that hold most lung, sorted by x, y, z.

    The authors keep cubes of more than 10 % lung (Yu et al. 2024); a fixed number fixes the encoder's input.
    """
    counts = lung.astype(np.uint8)
    starts = [np.arange(0, n - PATCH_SIZE + 1, PATCH_STEP) for n in lung.shape]
    for axis, first in enumerate(starts):
        windows = [counts.take(range(s, s + PATCH_SIZE), axis).sum(axis, dtype=np.int64) for s in first]
        counts = np.stack(windows, axis)
    by_xyz = counts.transpose(2, 1, 0)
    order = np.argsort(-by_xyz.ravel(), kind="stable")[:n_cubes]
    places = np.stack(np.unravel_index(np.sort(order), by_xyz.shape), axis=1)
    return np.asarray(places * PATCH_STEP, dtype=np.int64)
