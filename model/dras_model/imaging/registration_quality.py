"""Numbers that say whether an alignment of the atlas to a subject can be trusted, and how much it covers."""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.volume import LabelMap, Matrix
from dras_model.results.study import RegistrationQuality

QUALITY_STEP = 4  # voxels of the atlas between two points that judge the fit


def judge(atlas: Atlas, lungs: LabelMap, matrix: Matrix) -> RegistrationQuality:
    """Dice per lung inside the scan, on a lattice of the atlas, and the shape of the affine."""
    reference = atlas.lungs
    lattice = reference.labels[(slice(1, None, QUALITY_STEP),) * 3]
    index = np.indices(lattice.shape).reshape(3, -1).T * QUALITY_STEP + 1
    to_index = np.linalg.inv(lungs.grid.affine) @ matrix @ reference.grid.affine
    nearest = np.rint(index @ to_index[:3, :3].T + to_index[:3, 3]).astype(np.int64)
    inside = np.all((nearest >= 0) & (nearest < lungs.grid.shape), axis=1)
    found = np.zeros(len(nearest), dtype=np.uint8)
    z, y, x = nearest[inside].T
    found[inside] = lungs.labels[z, y, x]
    wanted = lattice.ravel()
    is_lung = np.isin(wanted, (RIGHT, LEFT))
    linear = matrix[:3, :3]
    u, _, vt = np.linalg.svd(linear)
    cosine = np.clip((np.trace(u @ vt) - 1.0) / 2.0, -1.0, 1.0)
    rows = [[float(value) for value in row] for row in matrix]
    return RegistrationQuality(
        dice_right=_dice(wanted[inside] == RIGHT, found[inside] == RIGHT),
        dice_left=_dice(wanted[inside] == LEFT, found[inside] == LEFT),
        determinant=float(np.linalg.det(linear)),
        rotation_degrees=float(np.degrees(np.arccos(cosine))),
        coverage=float(np.mean(inside[is_lung])),
        matrix=tuple((row[0], row[1], row[2], row[3]) for row in rows),
    )


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 0.0
