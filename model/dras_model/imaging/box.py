"""The box of what is marked in an array, so that work stays where something is; in voxels, not millimetres."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
CORNER: Box = (slice(0, 1), slice(0, 1), slice(0, 1))  # stands for the box of nothing where one is needed


def bounding_box(
    marked: NDArray[np.bool_] | NDArray[np.uint8], margin: tuple[int, int, int] = (0, 0, 0)
) -> Box | None:
    """Box of all voxels (z, y, x) that are not 0, `margin` voxels wider, inside the array; None where none is."""
    front = marked.max(axis=0)  # (y, x); a maximum of bytes is ten times as fast as `any`
    seen = (marked.reshape(len(marked), -1).max(axis=1), front.max(axis=1), front.max(axis=0))
    planes = [np.nonzero(axis)[0] for axis in seen]
    if planes[0].size == 0:
        return None
    z, y, x = (
        slice(max(int(found[0]) - room, 0), min(int(found[-1]) + room + 1, size))
        for found, room, size in zip(planes, margin, marked.shape, strict=True)
    )
    return z, y, x
