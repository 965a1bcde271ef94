"""Core and peel: which lung voxels lie deep, by their distance to the surface of their own lung.

The distance is computed on blocks of about 2 mm and interpolated to the voxels; an exact distance transform of
a scan of 300 slices takes seconds. Against the exact one, on lungs of phantoms and of real scans, the depth of
voxels near 10 mm is off by 1.3 mm at most and by 0.6 mm at the 95th percentile, and the core's volume by 1.1
points of the lung's. The end of the scan is no surface; fissures are none either.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.box import Box, bounding_box
from dras_model.imaging.distance import distance_mm
from dras_model.imaging.volume import Spacing

BLOCK_MM = 2.1  # blocks are as large as fit below it
FAR_MM = 1e4


def deep(mask: NDArray[np.bool_], spacing_mm: Spacing, depth_mm: float) -> NDArray[np.bool_]:
    """Which voxels of a lung (z, y, x) lie at least `depth_mm` from its surface; the rest are False.

    `mask` is cut out of the image with at least one voxel around it, or less only where the scan ends.
    """
    factors = [max(1, int(BLOCK_MM / size)) for size in spacing_mm]
    found = np.zeros(mask.shape, dtype=np.bool_)
    box = _own_blocks(mask, factors)
    if box is not None:
        _mark_deep(found[box], mask[box], factors, spacing_mm=spacing_mm, depth_mm=depth_mm)
    return found


def _own_blocks(mask: NDArray[np.bool_], factors: list[int]) -> Box | None:
    """The box of the mask and a block around it, in whole blocks of the array: they are the same in both."""
    box = bounding_box(mask)
    if box is None:
        return None
    z, y, x = (
        slice(max(own.start // f - 1, 0) * f, min((-(-own.stop // f) + 1) * f, size))
        for own, f, size in zip(box, factors, mask.shape, strict=True)
    )
    return z, y, x


def _mark_deep(
    found: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    factors: list[int],
    *,
    spacing_mm: Spacing,
    depth_mm: float,
) -> None:
    """Mark in `found` what is deep in `mask` (z, y, x)."""
    blocks = _mostly(mask, factors)
    block_mm = tuple(f * size for f, size in zip(factors, spacing_mm, strict=True))
    # From centre to centre: the surface itself is half a block nearer. Without any surface it is far.
    depth = distance_mm(~blocks, (block_mm[0], block_mm[1], block_mm[2])) - np.float32(min(block_mm) / 2.0)
    np.minimum(depth, np.float32(FAR_MM), out=depth)
    (z_low, z_high, z_part), along_y, along_x = (
        _between(size, factor) for size, factor in zip(mask.shape, factors, strict=True)
    )
    for z in np.nonzero(mask.any(axis=(1, 2)))[0]:
        plane = depth[z_low[z]] * (1 - z_part[z]) + depth[z_high[z]] * z_part[z]
        plane = _spread(_spread(plane, along_y).T, along_x).T
        found[z] = mask[z] & (plane >= depth_mm)


def _mostly(mask: NDArray[np.bool_], factors: list[int]) -> NDArray[np.bool_]:
    """Which blocks lie in the mask by half or more; a block at the end has only the voxels there are."""
    counts = np.uint8 if np.prod(factors) < 256 else np.uint16
    padded: NDArray[np.unsignedinteger] = np.zeros(
        [-(-size // f) * f for size, f in zip(mask.shape, factors, strict=True)], counts
    )
    padded[tuple(slice(size) for size in mask.shape)] = mask
    n_voxels = np.ones((1, 1, 1), dtype=np.int64)
    for axis, factor in enumerate(factors):
        # Adding strided views is 25 times as fast as `np.add.reduceat`.
        every = [padded[(slice(None),) * axis + (slice(i, None, factor),)] for i in range(factor)]
        padded = np.asarray(sum(every[1:], start=every[0]))
        size = mask.shape[axis]
        present = np.minimum(factor, size - factor * np.arange(padded.shape[axis]))
        n_voxels = n_voxels * present.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(2 * padded.astype(np.int64) >= n_voxels)


_Weights = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


def _between(size: int, factor: int) -> _Weights:
    """For each voxel of an axis the blocks before and after it, and how near it is to the second."""
    n_blocks = -(-size // factor)
    place = np.clip((np.arange(size) - (factor - 1) / 2.0) / factor, 0, n_blocks - 1)
    low = np.minimum(place.astype(np.intp), max(n_blocks - 2, 0))
    return low, np.minimum(low + 1, n_blocks - 1), (place - low).astype(np.float32)


def _spread(plane: NDArray[np.float32], weights: _Weights) -> NDArray[np.float32]:
    """Interpolate the rows of a plane of blocks (n, m) to voxels."""
    low, high, part = weights
    spread: NDArray[np.float32] = plane[low] * (1 - part[:, None]) + plane[high] * part[:, None]
    return spread
