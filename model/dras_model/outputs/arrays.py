"""Embeddings as arrays: by patch in `features.npz`, by place in `feature_map.nii.gz`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import Atlas
from dras_model.imaging.patches import Patches
from dras_model.imaging.volume import Grid


def write_features(
    path: Path,
    patches: Patches,
    atlas: Atlas,
    *,
    embeddings: NDArray[np.float32],
    densitometry: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write one row per patch, in the atlas' order; equal content gives equal bytes.

    `densitometry` holds more columns (n,) by name.
    """
    np.savez(
        path,
        embeddings=embeddings,
        corners=atlas.corners,
        locations=atlas.locations,
        valid=patches.valid,
        inside=patches.inside,
        lung_fraction=patches.lung_fraction,
        corner_mm=patches.corner_mm,
        **dict[str, Any](densitometry),
    )


def feature_map(
    embeddings: NDArray[np.float32], valid: NDArray[np.bool_], atlas: Atlas
) -> tuple[NDArray[np.float32], Grid]:
    """Lay the embeddings on the atlas' patch lattice: (z, y, x, width), NaN where no valid patch is.

    The grid lies in the atlas' space; the centre of each voxel is the centre of its patch.
    """
    step = atlas.patch_step
    first = atlas.corners.min(axis=0)
    places = (atlas.corners - first) // step  # (x, y, z)
    size_x, size_y, size_z = (int(n) + 1 for n in places.max(axis=0))
    array = np.full((size_z, size_y, size_x, embeddings.shape[1]), np.nan, dtype=np.float32)
    x, y, z = places[valid].T
    array[z, y, x] = embeddings[valid]
    native = atlas.lungs.grid
    affine = native.affine.copy()
    affine[:3, :3] = native.affine[:3, :3] * step
    affine[:3, 3] = native.to_world(first[::-1] + (atlas.patch_size - 1) / 2.0)
    return array, Grid((size_z, size_y, size_x), affine)
