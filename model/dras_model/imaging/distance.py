"""Euclidean distances from masks, in millimetres (Maurer 2003, by SimpleITK)."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dras_model.imaging.volume import Spacing


def distance_mm(mask: NDArray[np.bool_], spacing_mm: Spacing) -> NDArray[np.float32]:
    """Distance of each voxel (z, y, x) to the nearest one in `mask`; zero inside, inf where it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    # The filter measures from the mask's own border voxels, so voxels outside get centre distances.
    signed = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    outside: NDArray[np.float32] = np.maximum(sitk.GetArrayFromImage(signed), np.float32(0.0))
    return outside


def signed_distance_mm(mask: NDArray[np.bool_], spacing_mm: Spacing) -> NDArray[np.float32]:
    """Distance to the border of `mask`: positive outside, negative inside, zero half-way between voxels."""
    return distance_mm(mask, spacing_mm) - distance_mm(~mask, spacing_mm)
