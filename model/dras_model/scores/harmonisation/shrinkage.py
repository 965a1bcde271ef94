"""Taking noise out of bands of detail without taking texture: what is left has the energy of the signal alone.

A band's energy is that of lung plus that of noise. Voxels are grouped by what the coarser bands already say of
them, their density and their neighbourhood's slope; in each group the detail is scaled so that its variance is
the observed one less the noise's, and its mean stays. So the histogram, and not the single voxel, is what is
kept right: a Wiener filter would make voxels righter and the histogram's tail too thin.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Values = NDArray[np.float32]

BIN_HU = 4.0
LOWEST_HU, N_DENSITIES = -1024.0, 137
EDGES_HU = (-60.0, -30.0, -15.0, -7.0, 7.0, 15.0, 30.0, 60.0)
SPREAD = 0.7  # bins of density over which groups are averaged
LEAST_GROUP = 8.0  # voxels; a group of fewer is left as it is
TABLE_HU = 100.0  # slopes beyond are in the outermost classes
SAMPLED = 1_000_000  # voxels at most, evenly chosen, make the law of a segment


def remove_noise(coarse: Values, details: Sequence[Values], noise_hu: Sequence[float]) -> Values:
    """Return the voxels' values without noise, from the coarse level (n,) and details (n,) with their noise."""
    value, slope = coarse.copy(), None
    for detail, deviation in zip(details, noise_hu, strict=True):
        group, n_groups = _groups(value, slope)
        offset, scale = _law(group, detail, n_groups=n_groups, noise_hu=deviation)
        slope = offset[group] + scale[group] * detail
        value += slope
    return value


def _groups(value: Values, slope: Values | None) -> tuple[NDArray[np.int32], int]:
    density = np.clip((value - LOWEST_HU) / BIN_HU, 0, N_DENSITIES - 1).astype(np.int32)
    if slope is None:
        return density, N_DENSITIES
    table = np.digitize(np.arange(-TABLE_HU, TABLE_HU + 1), EDGES_HU).astype(np.int32)
    steepness = np.clip(np.rint(slope) + np.float32(TABLE_HU), 0, 2 * TABLE_HU).astype(np.int32)
    n_classes = len(EDGES_HU) + 1
    return density * n_classes + table[steepness], N_DENSITIES * n_classes


def _law(
    group: NDArray[np.int32], detail: Values, *, n_groups: int, noise_hu: float
) -> tuple[Values, Values]:
    """Offset and scale of each group's detail: its mean is kept, its variance loses the noise's."""
    step = max(1, len(group) // SAMPLED)
    group, detail = group[::step], detail[::step]

    def summed(weights: Values | None) -> NDArray[np.float64]:
        # Neighbouring densities help each other, so that rare ones, which matter most, have a law of their own.
        found = np.bincount(group, weights, minlength=n_groups).reshape(N_DENSITIES, -1)
        return np.asarray(
            gaussian_filter1d(found.astype(np.float64), SPREAD, axis=0, mode="constant").ravel()
        )

    count = np.maximum(summed(None), 1e-9)
    mean = summed(detail) / count
    variance = np.maximum(summed(detail * detail) / count - mean**2, 1e-6)
    scale = np.sqrt(np.maximum(variance - noise_hu**2, 0.0) / variance)
    few = count < LEAST_GROUP
    mean[few], scale[few] = 0.0, 1.0
    return (mean * (1.0 - scale)).astype(np.float32), scale.astype(np.float32)


def typical_deviation(deviations: Values) -> float:
    """The mode of deviations (n,) of small blocks: blocks of mere parenchyma are the most, and agree.

    After Christianson et al., AJR 2015 (global noise level). Vessels and walls make the upper tail.
    """
    counts, edges = np.histogram(
        deviations, bins=np.linspace(0.0, float(np.percentile(deviations, 97.0)), 151)
    )
    peak = int(np.argmax(gaussian_filter1d(counts.astype(np.float64), 3.0)))
    return float(edges[peak] + edges[peak + 1]) / 2.0
