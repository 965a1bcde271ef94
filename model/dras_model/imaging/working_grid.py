"""Very fine studies are averaged onto a coarser working grid, so that memory is bounded.

A study is taken as it is up to MOST_WORKING voxels. Beyond, neighbouring voxels are averaged along the finest
axes, never to more than COARSEST_MM: patches are cut at 1 mm, and finer voxels hold mostly noise. What is
still too large is refused (decision 0014).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dras_model.imaging.volume import MOST_VOXELS, Grid
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

MOST_WORKING = 400_000_000  # voxels; about 8 bytes each at the peak of a study
MOST_UNAVERAGED = 600_000_000  # of a study whose voxels are too large to be averaged
COARSEST_MM = 1.0
Factors: TypeAlias = tuple[int, int, int]  # voxels of the native grid a working one holds (z, y, x)
WHOLE: Factors = (1, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class WorkingGrid:
    """The grid a study is analysed on, and how many native voxels are averaged into one of its."""

    grid: Grid
    factors: Factors


def working_grid(native: Grid) -> WorkingGrid:
    """Choose factors until the study is small enough. Raises StudyRefused VOLUME_TOO_LARGE.

    A slice stays isotropic: y and x share one factor. An incomplete block at the end is dropped.
    """
    if native.n_voxels > MOST_VOXELS:
        raise _too_large(native, MOST_VOXELS)
    factors = list(WHOLE)
    while _n_voxels(native, factors) > MOST_WORKING:
        slices_mm = (factors[0] + 1) * native.spacing_mm[0]
        pixels_mm = (factors[1] + 1) * max(native.spacing_mm[1:])
        if min(slices_mm, pixels_mm) > COARSEST_MM:
            if _n_voxels(native, factors) > MOST_UNAVERAGED:
                raise _too_large(native, MOST_UNAVERAGED)
            break
        if slices_mm <= pixels_mm:
            factors[0] += 1
        else:
            factors[1] = factors[2] = factors[1] + 1
    return WorkingGrid(_coarser(native, factors), (factors[0], factors[1], factors[2]))


def _n_voxels(native: Grid, factors: list[int]) -> int:
    z, y, x = (size // factor for size, factor in zip(native.shape, factors, strict=True))
    return z * y * x


def _coarser(native: Grid, factors: list[int]) -> Grid:
    if tuple(factors) == WHOLE:
        return native
    z, y, x = (size // factor for size, factor in zip(native.shape, factors, strict=True))
    affine = native.affine.copy()
    affine[:3, :3] *= np.array(factors)
    affine[:3, 3] = native.to_world((np.array(factors) - 1) / 2.0)
    return Grid((z, y, x), affine)


def _too_large(native: Grid, limit: int) -> StudyRefused:
    return StudyRefused(Code.VOLUME_TOO_LARGE, megavoxels=native.n_voxels / 1e6, limit=limit / 1e6)
