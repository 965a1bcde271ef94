"""Connected clusters of low attenuation, and the exponent of their size distribution (LAC-D).

Mishima et al., PNAS 1999: the number N of clusters of at least the size S falls as S ** -D. Clusters here are
three-dimensional, joined by faces, of voxels at or below -950 HU, and never reach from one lung (or lobe) into
another. D is the slope of log N over log S by least squares, each point weighted by its N: log N varies as
1 / N, and without weights the few largest clusters decide (twice the scatter on sampled power laws).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.box import bounding_box

LOW_HU = -950.0
LEAST_VOXELS = 4  # of a cluster, however large a voxel is


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The fit of log N(>= S) = a - `exponent` * log S over `n_sizes` distinct sizes of `n_clusters`."""

    exponent: float
    r_squared: float
    n_clusters: int
    n_sizes: int


def cluster_sizes(low: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sizes in voxels (n,) of the face-connected pieces of a mask (z, y, x)."""
    box = bounding_box(low)
    if box is None:
        return np.zeros(0, dtype=np.int64)
    pieces, _ = ndimage.label(low[box])
    return np.bincount(pieces[low[box]])[1:]


def fit_power_law(sizes: NDArray[np.integer]) -> PowerLaw | None:
    """Fit the sizes (n,) of clusters, in any unit; None where fewer than three are distinct."""
    distinct, counts = np.unique(sizes, return_counts=True)
    if len(distinct) < 3:
        return None
    at_least = np.cumsum(counts[::-1])[::-1].astype(np.float64)
    x, y, weight = np.log(distinct), np.log(at_least), at_least / at_least.sum()
    x, y = x - weight @ x, y - weight @ y
    slope = float((weight * x) @ y / ((weight * x) @ x))
    unexplained = float(weight @ (y - slope * x) ** 2)
    r_squared = 1.0 - unexplained / float(weight @ y**2)
    return PowerLaw(-slope, r_squared, len(sizes), len(distinct))
