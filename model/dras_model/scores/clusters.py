"""Connected clusters of low attenuation, and the exponent of their size distribution (LAC-D).

Mishima et al., PNAS 1999: the number N of clusters of at least the size S falls as S ** -D. Clusters here are
three-dimensional, joined by faces, of voxels at or below -950 HU, and never reach from one lung (or lobe) into
another. D is the slope of log N over log S by least squares, each point weighted by its N: log N varies as
1 / N, and without weights the few largest clusters decide (twice the scatter on sampled power laws).

Clusters are joined run by run: low voxels are few, and a run of them along x is one piece whatever its length.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LOW_HU = -950.0
LEAST_VOXELS = 4  # of a cluster, however large a voxel is


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The fit of log N(>= S) = a - `exponent` * log S over `n_sizes` distinct sizes of `n_clusters`."""

    exponent: float
    r_squared: float
    n_clusters: int
    n_sizes: int


def sizes_by_group(
    at: NDArray[np.intp], group: NDArray[np.uint8], shape: tuple[int, ...], *, n_groups: int
) -> list[NDArray[np.int64]]:
    """Sizes in voxels of the pieces of each `group` (n,), 1 to `n_groups`, in whose order they are returned.

    `at` (n,) are the voxels in the order of an array of `shape` (z, y, x), counted through; a piece is of one
    group, and voxels of group 0 are of no piece.
    """
    starts, ends, of_run = _runs(at, group, shape[2])
    row, plane, whole = shape[2], shape[1] * shape[2], shape[0] * shape[1] * shape[2]
    pairs = [
        _touching(starts, ends, of_run, step=step, within=within)
        for step, within in ((row, plane), (plane, whole))
    ]
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(one), dtype=np.bool_), (one, other)), shape=(len(starts), len(starts)))
    n_pieces, piece = connected_components(graph, directed=False)
    sizes = np.bincount(piece, weights=ends - starts, minlength=n_pieces).astype(np.int64)
    of_piece = np.zeros(n_pieces, dtype=np.uint8)
    of_piece[piece] = of_run
    return [sizes[of_piece == wanted] for wanted in range(1, n_groups + 1)]


_Indices: TypeAlias = NDArray[np.integer]


def _runs(
    at: NDArray[np.intp], group: NDArray[np.uint8], width: int
) -> tuple[_Indices, _Indices, NDArray[np.uint8]]:
    """Start and end of each run of one group within a row, and its group."""
    begins = np.ones(len(at), dtype=np.bool_)
    begins[1:] = (np.diff(at) != 1) | (group[1:] != group[:-1])
    begins |= at % width == 0
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=len(at))
    return at[first], at[first] + lengths, group[first]


def _touching(
    starts: _Indices, ends: _Indices, group: NDArray[np.uint8], *, step: int, within: int
) -> tuple[_Indices, _Indices]:
    """Pairs (k,), (k,) of runs of one group, the second beside the first `step` voxels on, `within` so many."""
    low, high = np.searchsorted(ends, starts + step, "right"), np.searchsorted(starts, ends + step, "left")
    n_beside = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(starts)), n_beside)
    other = np.arange(len(one)) + np.repeat(low - np.cumsum(n_beside) + n_beside, n_beside)
    alike = (group[one] == group[other]) & (starts[one] // within == starts[other] // within)
    return one[alike], other[alike]


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
