"""Numbers that say whether a lung mask can be trusted, ours or another's: size, place, density, surface.

A mask is judged by what borders it and what it holds, not by how it was made. Limits are `scores`'.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.blood_pool import enhanced_blood_hu
from dras_model.imaging.coarse import Coarse
from dras_model.imaging.volume import Volume
from dras_model.results.study import LungQuality

AIRWAY = 3  # beside RIGHT and LEFT in a subject's lung map
_Mask = NDArray[np.bool_]
DENSE_HU = -250.0  # of a block: vessels, and whatever is no aerated lung
AERATED_HU = (-970.0, -600.0)  # of a block of lung; blocks at a true border mix with what lies beyond
ROUGH_MM = 8.0  # spikes, holes and leaks thinner than twice this are roughness


def measure_lungs(volume: Volume, labels: NDArray[np.uint8], coarse: Coarse) -> LungQuality:
    """Measure labels RIGHT, LEFT and AIRWAY (z, y, x) on a volume whose z grows upwards, and on its blocks."""
    voxels = [np.count_nonzero(labels == label) for label in range(AIRWAY + 1)]
    lung = (labels == RIGHT) | (labels == LEFT)
    n_lung = voxels[RIGHT] + voxels[LEFT]
    planes = np.count_nonzero(lung, axis=(1, 2))
    widest = max(int(planes.max()), 1)
    with_lung = np.nonzero(planes)[0]
    at_side = lung[:, [0, -1]].any(axis=(1, 2)) | lung[..., [0, -1]].any(axis=(1, 2))
    blocks = coarse.sample(labels)
    return LungQuality(
        right_ml=float(voxels[RIGHT] * volume.grid.voxel_ml),
        left_ml=float(voxels[LEFT] * volume.grid.voxel_ml),
        airway_ml=float(voxels[AIRWAY] * volume.grid.voxel_ml),
        mean_hu=float(volume.hu[lung].mean(dtype=np.float64)) if n_lung else 0.0,
        height_mm=float(np.ptp(with_lung) + 1) * volume.grid.spacing_mm[0] if n_lung else 0.0,
        touches_top_percent=100.0 * float(planes[-1]) / widest,
        touches_bottom_percent=100.0 * float(planes[0]) / widest,
        touches_side_percent=100.0 * float(at_side.sum()) / max(with_lung.size, 1),
        dense_percent=_dense_percent(coarse, blocks),
        open_border_percent=_open_border_percent(coarse, blocks),
        rough_percent=_rough_percent(coarse, blocks),
        blood_hu=enhanced_blood_hu(coarse),
    )


def _lung(blocks: NDArray[np.uint8]) -> _Mask:
    return np.asarray((blocks == RIGHT) | (blocks == LEFT))


def _dense_percent(coarse: Coarse, blocks: NDArray[np.uint8]) -> float:
    """Blocks of the mask that hold soft tissue."""
    inside = coarse.hu[_lung(blocks)]
    return 100.0 * float(np.mean(inside > DENSE_HU)) if inside.size else 0.0


def _open_border_percent(coarse: Coarse, blocks: NDArray[np.uint8]) -> float:
    """Blocks just outside the mask that look like aerated lung, of all that border it.

    The airway and what lies beyond the ends of the scan is no border.
    """
    lung = _lung(blocks)
    # Two blocks out: the first one is mixed with the lung by the scanner.
    near = ndimage.binary_dilation(lung, iterations=2)
    border = ndimage.binary_dilation(near) & ~near & (blocks != AIRWAY)
    if not border.any():
        return 0.0
    low, high = AERATED_HU
    values = coarse.hu[border]
    return 100.0 * float(np.mean((values > low) & (values < high)))


def _rough_percent(coarse: Coarse, blocks: NDArray[np.uint8]) -> float:
    """What opening and closing change, of the mask: leaks, spikes, holes and gaps, on blocks twice as long."""
    lung = np.ascontiguousarray(_lung(blocks)[::2, ::2, ::2])
    half = coarse.halved()
    n_lung = np.count_nonzero(lung)
    if n_lung == 0:
        return 0.0
    opened = half.distance_mm(half.distance_mm(~lung) > ROUGH_MM) <= ROUGH_MM
    closed = half.distance_mm(~(half.distance_mm(lung) <= ROUGH_MM)) > ROUGH_MM
    return 100.0 * np.count_nonzero((lung & ~opened) | (closed & ~lung)) / n_lung
