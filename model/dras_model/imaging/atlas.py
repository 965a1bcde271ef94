"""The atlas: a lung mask, the patch corners on it, and an identity.

The published atlas' corners are data, not a rule: re-running the authors' rule on their mask gives
575 of the 581. So the corners travel in the bundle and are never regenerated. How an atlas is stored is
in `atlas_bundle`, how the one of this project is made in `builtin_atlas`.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.volume import LabelMap

RIGHT, LEFT = 1, 2  # values of the lung label map of an atlas and of a subject
ORIENTATION: Final = "LAS"  # where x, y and z of every atlas grow to, and so of every subject
PATCH_SIZE: Final = 32  # voxels of 1 mm (Yu et al. 2024)
PATCH_STEP: Final = 26


class AtlasError(ValueError):
    """A mask and corners cannot form an atlas; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """`lungs` holds RIGHT and LEFT; `corners` (n, 3) int64 are (x, y, z) voxels of it, in fixed order."""

    name: str
    version: str
    lungs: LabelMap
    corners: NDArray[np.int64]
    patch_size: int
    patch_step: int
    sha256: str

    @classmethod
    def of(cls, lungs: LabelMap, corners: NDArray[np.generic], *, name: str, version: str) -> "Atlas":
        """Check a mask and its corners and give them their identity; AtlasError where they do not fit."""
        checked = check_corners(corners, lungs)
        check_lungs(lungs)
        return cls(
            name=name,
            version=version,
            lungs=lungs,
            corners=checked,
            patch_size=PATCH_SIZE,
            patch_step=PATCH_STEP,
            sha256=identity(lungs, checked),
        )

    @property
    def orientation(self) -> str:
        """Where the subject's axes must grow to before patches are cut."""
        return self.lungs.grid.orientation

    @property
    def locations(self) -> NDArray[np.float32]:
        """Corners in [-1, 1] (n, 3): `corner / max(corner) * 2 - 1` per axis (Yu et al. 2024)."""
        locations: NDArray[np.float32] = (self.corners / self.corners.max(axis=0) * 2.0 - 1.0).astype(
            np.float32
        )
        return locations

    @property
    def corners_lps_mm(self) -> NDArray[np.float64]:
        """World positions (n, 3) of the corner voxels' centres."""
        return self.lungs.grid.to_world(self.corners[:, ::-1])


def identity(lungs: LabelMap, corners: NDArray[np.int64]) -> str:
    """The SHA-256 of what the weights depend on: voxels, geometry (to a micrometre) and corners.

    It is taken over the voxels, not over a file, so that neither compression nor headers change it.
    """
    digest = hashlib.sha256(b"dras-atlas-1")
    digest.update(np.array(lungs.labels.shape, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(lungs.labels).tobytes())
    digest.update(np.rint(lungs.grid.affine * 1000.0).astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(corners, dtype="<i8").tobytes())
    return digest.hexdigest()


def check_corners(corners: NDArray[np.generic], lungs: LabelMap) -> NDArray[np.int64]:
    """Return the corners as (n, 3) int64; AtlasError unless they are distinct voxels of the mask."""
    if corners.ndim != 2 or corners.shape[1] != 3 or len(corners) == 0:
        raise AtlasError(f"corners form an array (n, 3), found {corners.shape}")
    if not np.issubdtype(corners.dtype, np.integer):
        raise AtlasError(f"corners are integer voxels, found {corners.dtype}")
    voxels = corners.astype(np.int64)
    size_xyz = np.array(lungs.grid.shape[::-1])
    n_outside = int(np.any((voxels < 0) | (voxels >= size_xyz), axis=1).sum())
    if n_outside:
        raise AtlasError(
            f"{n_outside} of {len(voxels)} corners lie outside the mask of {tuple(size_xyz.tolist())}"
        )
    n_repeated = len(voxels) - len(np.unique(voxels, axis=0))
    if n_repeated:
        raise AtlasError(f"{n_repeated} of {len(voxels)} corners repeat another one")
    if np.any(voxels.max(axis=0) == 0):
        raise AtlasError("corners must spread along every axis, locations are relative to the largest")
    return voxels


def check_lungs(lungs: LabelMap) -> None:
    """Check that both lungs are there, the right one on the patient's right, in a grid of ORIENTATION.

    AtlasError otherwise. Segmentation, sections and the published corners rest on that orientation.
    """
    if lungs.labels.max() > max(RIGHT, LEFT):
        raise AtlasError(f"the mask holds labels other than right and left, up to {lungs.labels.max()}")
    masks = [lungs.labels == label for label in (RIGHT, LEFT)]
    if not all(mask.any() for mask in masks):
        raise AtlasError("the mask lacks a right or a left lung")
    right, left = (lungs.grid.to_world(_centre(mask))[0] for mask in masks)
    if right >= left:
        raise AtlasError("the right lung lies to the left of the left lung: labels or geometry are mirrored")
    if lungs.grid.orientation != ORIENTATION:
        raise AtlasError(f"the mask's axes grow to {lungs.grid.orientation}, not to {ORIENTATION}")


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the centre of mass as an index (z, y, x)."""
    counts = (np.count_nonzero(mask, axis=_others(axis)) for axis in range(3))
    return np.array(
        [np.average(np.arange(n), weights=count) for n, count in zip(mask.shape, counts, strict=True)]
    )


def _others(axis: int) -> tuple[int, ...]:
    return tuple(a for a in range(3) if a != axis)
