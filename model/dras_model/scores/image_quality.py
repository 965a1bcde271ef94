"""Noise and calibration of an image from the air in its trachea, and the floor of its values in the lungs.

Both are taken well off the tracheal wall, and from the median upwards: scanners that store nothing below
-1024 HU cut the lower half of the noise off, which shifts a mean and shrinks a standard deviation, not these.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.box import bounding_box
from dras_model.imaging.distance import distance_mm
from dras_model.imaging.lungs import AIRWAY
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.results.study import ImageQuality
from dras_model.scores.limits import Limits
from dras_model.scores.lung_values import lung_box

WALL_MM = 5.0  # off the airway's surface, which includes 2.5 mm of wall and a block of about 2 mm
NORMAL_SHARE = 84.134  # percent of a normal distribution at or below one standard deviation above its mean


def measure_image(volume: Volume, lungs: LabelMap, limits: Limits | None = None) -> ImageQuality:
    """Measure tracheal air and the lungs' lowest value; air is null where too little of it is seen."""
    limits = limits or Limits()
    air = _tracheal_air(volume, lungs)
    lowest, share = _lowest(volume, lungs)
    if air.size < limits.least_air_voxels:
        return ImageQuality(
            air_hu=None, noise_hu=None, air_voxels=air.size, lowest_hu=lowest, at_lowest_percent=share
        )
    middle, upper = (float(hu) for hu in np.percentile(air, [50.0, NORMAL_SHARE]))
    return ImageQuality(
        air_hu=middle, noise_hu=upper - middle, air_voxels=air.size, lowest_hu=lowest, at_lowest_percent=share
    )


def _tracheal_air(volume: Volume, lungs: LabelMap) -> NDArray[np.float32]:
    """HU (n,) of the voxels deep inside the airway: the trachea's lumen, and of main bronchi little."""
    airway = lungs.labels == AIRWAY
    box = bounding_box(airway, (1, 1, 1))
    if box is None:
        return np.zeros(0, dtype=np.float32)
    part = airway[box]
    inner = distance_mm(~part, volume.grid.spacing_mm) > WALL_MM
    air: NDArray[np.float32] = volume.hu[box][inner & part]
    return air


def _lowest(volume: Volume, lungs: LabelMap) -> tuple[float, float]:
    """Return the lowest HU of the lungs and the percentage of their voxels that have it."""
    found = lung_box(lungs)
    if found is None:
        return 0.0, 0.0
    box, lung = found
    values = volume.hu[box][lung]
    lowest = float(values.min())
    return lowest, 100.0 * np.count_nonzero(values == lowest) / values.size
