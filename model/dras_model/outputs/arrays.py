"""Embeddings by place: `feature_map.nii.gz`, the atlas' patch lattice with its geometry."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.volume import Grid
from dras_model.outputs.features import Features, Lattice


def feature_map(features: Features, lattice: Lattice) -> tuple[NDArray[np.float32], Grid]:
    """Lay the embeddings on the atlas' patch lattice: (z, y, x, width), NaN where no valid patch is.

    The grid lies in the atlas' space; the centre of each voxel is the centre of its patch.
    """
    corners, valid = features.corners, features.valid
    first = corners.min(axis=0)
    places = (corners - first) // lattice.patch_step  # (x, y, z)
    size_x, size_y, size_z = (int(n) + 1 for n in places.max(axis=0))
    array = np.full((size_z, size_y, size_x, features.embeddings.shape[1]), np.nan, dtype=np.float32)
    x, y, z = places[valid].T
    array[z, y, x] = features.embeddings[valid]
    affine = lattice.affine.copy()
    affine[:3, :3] *= lattice.patch_step
    centre = first[::-1] + (lattice.patch_size - 1) / 2.0
    affine[:3, 3] = lattice.affine[:3, :3] @ centre + lattice.affine[:3, 3]
    return array, Grid((size_z, size_y, size_x), affine)


def write_feature_map(path: Path, features: Features, lattice: Lattice) -> None:
    """Write the map as NIfTI with one volume a feature; equal content gives equal bytes."""
    write_nifti(path, *feature_map(features, lattice))
