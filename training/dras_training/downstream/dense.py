"""A head slid over the lungs: what it would say of every cube of 32 mm, as a map in the scan's space.

The cubes go the way of any patch, at any place and not at the atlas' corners only; the location of each is where
the registration puts its corner. A block of the map is the mean of the cubes that hold it. The head was fitted to
whole patients, so that the map tells which places speak for its outcome, and is no measurement of that place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import PATCH_SIZE
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.heads import Head
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.patches import cut_cubes
from dras_model.imaging.resampling import unit_grid
from dras_model.imaging.volume import Grid
from dras_model.outputs.folder import new_file
from dras_model.preparing import Cut
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream.places import cubes_of_lung, locations_of, lung_of_blocks
from dras_training.telling import to_nobody

STRIDES_MM = (4, 8, 16, 32)  # whole parts of a patch
LEAST_OF_A_BLOCK = 0.5  # of a block is lung where the map has a value

Heard = Callable[[float], None]


class Encodes(Protocol):
    """What makes embeddings (n, width) of patches (n, 32, 32, 32) HU at locations (n, 3), as an `Encoder` does."""

    def encode(self, patches: NDArray[np.int16], locations: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return the embeddings."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseMap:
    """`values` (z, y, x) float32 on `grid`, whose voxels are blocks of the stride; NaN outside the lungs."""

    values: NDArray[np.float32]
    grid: Grid

    def write(self, path: Path) -> None:
        """Write it as NIfTI. Raises SetupRefused OUTPUT_NOT_WRITABLE."""
        with new_file(path, overwrite=True) as draft:
            write_nifti(draft, self.values, self.grid)


def find_head(bundle: Bundle, name: str) -> Head:
    """Return the head of that name. Raises SetupRefused HEAD_UNSUITED where there is none that can be slid."""
    known = {head.name: head for head in bundle.heads}
    if name not in known:
        raise _unsuited(bundle, name, f"there is none; it has {', '.join(known) or 'no heads'}")
    if not known[name].weighs_alike:
        raise _unsuited(bundle, name, "it does not weigh every patch alike; fit one with --pooling patches")
    return known[name]


def slide(
    cut: Cut, head: Head, encoder: Encodes, atlas: Atlas, *, stride_mm: int, heard: Heard = to_nobody
) -> DenseMap:
    """Slide `head` over the lungs of a study. ValueError for one that does not weigh every patch alike."""
    lung = lung_of_blocks(cut.lungs.map, stride_mm)
    per_patch = PATCH_SIZE // stride_mm
    wanted = cubes_of_lung(lung, per_patch)
    total, counts = np.zeros(lung.shape), np.zeros(lung.shape)
    for level in np.unique(wanted[:, 0]):  # cubes of one height at a time: a study has ten thousand
        blocks = wanted[wanted[:, 0] == level]
        corners = blocks * stride_mm
        cubes, _ = cut_cubes(cut.volume, corners, PATCH_SIZE)
        embeddings = encoder.encode(cubes, locations_of(corners, cut.volume.grid, atlas, cut.alignment))
        for (z, y, x), value in zip(blocks.tolist(), head.of_each(embeddings).tolist(), strict=True):
            cube = np.s_[z : z + per_patch, y : y + per_patch, x : x + per_patch]
            total[cube] += value
            counts[cube] += 1
        heard(float(level + 1) / lung.shape[0])
    shown = (lung >= LEAST_OF_A_BLOCK) & (counts > 0)
    values = np.where(shown, total / np.maximum(counts, 1), np.nan).astype(np.float32)
    return DenseMap(values, _block_grid(cut.volume.grid, lung.shape, stride_mm))


def _block_grid(grid: Grid, shape: tuple[int, ...], stride_mm: int) -> Grid:
    lattice = unit_grid(grid)
    affine = lattice.affine.copy()
    affine[:3, :3] *= stride_mm
    affine[:3, 3] = lattice.to_world(np.full(3, (stride_mm - 1) / 2))  # the centre of the first block
    return Grid((shape[0], shape[1], shape[2]), affine)


def _unsuited(bundle: Bundle, name: str, reason: str) -> SetupRefused:
    return SetupRefused(Code.HEAD_UNSUITED, name=name, bundle=bundle.manifest.name, reason=reason)
