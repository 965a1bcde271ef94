"""The atlas: a lung mask, the patch corners on it, and an identity.

The published atlas' corners are data, not a rule: re-running the authors' rule on their mask gives
575 of the 581. So the corners travel in the bundle and are never regenerated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.volume import LabelMap

RIGHT, LEFT = 1, 2  # values of the lung label map of an atlas and of a subject


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

    @property
    def orientation(self) -> str:
        """Where the subject's axes must grow to before patches are cut."""
        return self.lungs.grid.orientation

    @property
    def locations(self) -> NDArray[np.float32]:
        """Corners in [-1, 1] (n, 3): `corner / max(corner) * 2 - 1` per axis (Yu et al. 2024)."""
        return (self.corners / self.corners.max(axis=0) * 2.0 - 1.0).astype(np.float32)
