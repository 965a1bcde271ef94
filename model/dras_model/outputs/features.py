"""The arrays of the patches: one row a patch, in the atlas' order, as `features.npz` and in memory.

The lattice they lie on travels with them (`Lattice`), so that a map can be made of any column without the atlas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import Atlas
from dras_model.imaging.patches import Patches
from dras_model.imaging.volume import GeometryError, Grid
from dras_model.outputs.npz import ArchiveError, read_npz, write_npz

LATTICE_KEYS = ("patch_size", "patch_step", "atlas_affine_lps_mm")


class FeaturesError(ValueError):
    """A file holds no features; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where the patches lie in the atlas: size and step in its voxels, and its affine, (z, y, x) to LPS mm."""

    patch_size: int
    patch_step: int
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, atlas: Atlas) -> "Lattice":
        """Return the lattice of an atlas."""
        return cls(atlas.patch_size, atlas.patch_step, atlas.lungs.grid.affine)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """One row per patch, in the atlas' order.

    `embeddings` (n, width) float32; `corners` (n, 3) int64, (x, y, z) voxels of the atlas; `locations` (n, 3)
    float32 in [-1, 1]; `valid` (n,) bool; `inside` and `lung_fraction` (n,) float32 in 0..1; `corner_mm` (n, 3)
    LPS mm in the scan of the first voxel of the 1 mm cube; `densitometry` holds more columns (n,) float32 by name.
    `lattice` is None in a result of schema 1.0.
    """

    embeddings: NDArray[np.float32]
    corners: NDArray[np.int64]
    locations: NDArray[np.float32]
    valid: NDArray[np.bool_]
    inside: NDArray[np.float32]
    lung_fraction: NDArray[np.float32]
    corner_mm: NDArray[np.float64]
    densitometry: Mapping[str, NDArray[np.float32]]
    lattice: Lattice | None

    @classmethod
    def of(
        cls,
        patches: Patches,
        atlas: Atlas,
        *,
        embeddings: NDArray[np.float32],
        densitometry: Mapping[str, NDArray[np.float32]],
    ) -> "Features":
        """Put together what a run has made."""
        return cls(
            embeddings=embeddings,
            corners=atlas.corners,
            locations=atlas.locations,
            valid=patches.valid,
            inside=patches.inside,
            lung_fraction=patches.lung_fraction,
            corner_mm=patches.corner_mm,
            densitometry=densitometry,
            lattice=Lattice.of(atlas),
        )

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Every array of one row a patch, by its name."""
        return {**{name: getattr(self, name) for name in ARRAYS}, **self.densitometry}


ARRAYS = tuple(each.name for each in fields(Features) if each.name not in {"densitometry", "lattice"})
_COLUMN_SHAPES = {"corners": (3,), "locations": (3,), "corner_mm": (3,)}


def write_features(path: Path, features: Features) -> None:
    """Write `features.npz`, stored without compression, which float32 hardly has; equal content, equal bytes."""
    arrays = features.columns()
    if (lattice := features.lattice) is not None:
        values = (np.int64(lattice.patch_size), np.int64(lattice.patch_step), lattice.affine)
        arrays |= {name: np.asarray(value) for name, value in zip(LATTICE_KEYS, values, strict=True)}
    write_npz(path, arrays, compressed=False)


def read_features(path: Path) -> Features:
    """Read `features.npz`. Raises FeaturesError where it is damaged or its arrays do not belong together."""
    try:
        arrays = read_npz(path)
    except ArchiveError as fault:
        raise FeaturesError(str(fault)) from fault
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise FeaturesError(f"it lacks {missing[0]}")
    lattice = _lattice({name: arrays.pop(name) for name in LATTICE_KEYS if name in arrays})
    own = {name: arrays.pop(name) for name in ARRAYS}
    found = Features(**own, densitometry=arrays, lattice=lattice)
    _check(found)
    return found


def _lattice(stored: Mapping[str, NDArray[np.generic]]) -> Lattice | None:
    if not stored:
        return None
    try:
        size, step, affine = (stored[name] for name in LATTICE_KEYS)
        grid = Grid((1, 1, 1), np.asarray(affine, dtype=np.float64))
        return Lattice(int(size), int(step), grid.affine)
    except (KeyError, TypeError, ValueError, GeometryError) as fault:
        raise FeaturesError("its lattice is none") from fault


def _check(features: Features) -> None:
    n = len(features.corners) if features.corners.ndim else 0
    width = features.embeddings.shape[1:]
    for name, array in features.columns().items():
        rest = width if name == "embeddings" else _COLUMN_SHAPES.get(name, ())
        if array.shape != (n, *rest):
            raise FeaturesError("its arrays have other shapes")
    if (
        features.embeddings.ndim != 2
        or features.valid.dtype != np.bool_
        or features.corners.dtype != np.int64
    ):
        raise FeaturesError("its arrays have other shapes")
