"""Taking noise out of detail without taking texture: what is left has the histogram of the signal alone.

Voxels are grouped by the density that the coarse level gives them. In each group the histogram of the detail is
that of lung convolved with the noise's normal distribution; it is deconvolved (Richardson 1972, Lucy 1974), and
every voxel is moved to the same quantile of the result. So the histogram, and not the single voxel, is what is kept
right: a Wiener filter would make voxels righter and the histogram's tail too thin, and scaling to the signal's
variance makes a skewed one, of vessels, symmetrical (10 % of 1 % of emphysema was lost at 25 HU of noise).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

Values = NDArray[np.float32]
Groups = NDArray[np.uint8]
Array = NDArray[np.float64]

BIN_HU = 4.0
LOWEST_HU, N_DENSITIES = -1024.0, 137
SPREAD = 0.7  # bins of density over which groups are averaged
LEAST_GROUP = 8.0  # voxels; a group of fewer is left as it is
SAMPLED = 1_000_000  # voxels at most, evenly chosen, make the law of a segment
N_BINS, OF_NOISE, LEAST_BIN_HU = 80, 0.35, 1.0  # of a detail's histogram, and their width
N_BINS_OF_ALL, MIDDLE_HU = 400, -800.0  # the same of the histogram of all voxels
FINE = 4  # parts of a bin in which a detail is looked up
BLOCK_VOXELS = 1 << 16
ITERATIONS = 15  # 10 to 20 do alike; 60 follow chance
LEAST_NOISE_HU = 0.3  # below, nothing is done
BACKGROUND = 1e-5  # of a group's voxels in every bin, so that an empty one is no evidence


def remove_noise(coarse: Values, detail: Values, *, alone_hu: float, left_hu: float) -> Values:
    """Return the voxels' values without noise, from the coarse level (n,) and the detail (n,).

    `alone_hu` is the noise of the detail where the coarse level is known, `left_hu` what both together have beside
    it (`BandNoise`); that is taken out of the histogram of all voxels at the end.
    """
    value = coarse + _without(_densities(coarse), detail, alone_hu, _Bins(N_BINS, alone_hu))
    together = np.zeros(len(value), dtype=np.uint8)
    return _without(together, value, left_hu, _Bins(N_BINS_OF_ALL, left_hu, middle_hu=MIDDLE_HU))


def _densities(coarse: Values) -> Groups:
    found = np.empty(len(coarse), dtype=np.uint8)
    for block in _blocks(len(coarse)):
        at = (coarse[block] - np.float32(LOWEST_HU)) / np.float32(BIN_HU)
        found[block] = np.clip(at, 0, N_DENSITIES - 1, out=at)
    return found


def _blocks(n: int) -> Iterator[slice]:
    """Cut n voxels into blocks whose temporary arrays stay in a core's cache; whole, they cost twice the time."""
    return (slice(start, start + BLOCK_VOXELS) for start in range(0, n, BLOCK_VOXELS))


class _Bins:
    """`n` bins of HU around `middle_hu`, what lies beyond in the outermost; their width follows the noise's."""

    def __init__(self, n: int, noise_hu: float, *, middle_hu: float = 0.0) -> None:
        self.n, self.middle_hu = n, middle_hu
        self.width_hu = max(OF_NOISE * noise_hu, LEAST_BIN_HU)
        self.edges_hu = middle_hu + self.width_hu * (np.arange(n + 1) - n / 2)
        self.middles_hu = (self.edges_hu[1:] + self.edges_hu[:-1]) / 2.0

    def index(self, detail: Values, parts: int = 1) -> NDArray[np.int32]:
        """Return the bin of each value (n,), or the part of a bin."""
        at = detail * np.float32(parts / self.width_hu)
        at -= np.float32(parts * self.edges_hu[0] / self.width_hu)
        return np.clip(at, 0, parts * self.n - 1, out=at).astype(np.int32)

    def look_up(self, law: Array, group: Groups, detail: Values) -> Values:
        """Return where a `law` (groups, bins + 1), given at the bins' edges, moves each detail (n,)."""
        at = (np.arange(FINE * self.n) + 0.5) / FINE
        low = at.astype(np.intp)
        table = (law[:, low] + (at - low) * (law[:, low + 1] - law[:, low])).astype(np.float32).ravel()
        first, last = np.float32(self.edges_hu[0]), np.float32(self.edges_hu[-1])
        moved = np.empty_like(detail)
        for block in _blocks(len(detail)):
            own = detail[block]
            found = self.index(own, FINE)
            found += group[block] * np.int32(FINE * self.n)
            moved[block] = table[found]
            moved[block] += own - np.clip(own, first, last)  # far beyond the noise, edges stay as they are
        return moved


def _without(group: Groups, values: Values, noise_hu: float, bins: _Bins) -> Values:
    """Return values (n,) whose histogram in each `group` (n,) has lost the noise."""
    if noise_hu < LEAST_NOISE_HU or len(values) == 0:
        return values
    return bins.look_up(_law(group, values, bins, noise_hu), group, values)


def _law(group: Groups, values: Values, bins: _Bins, noise_hu: float) -> Array:
    """Where each group's values are moved (groups, bins + 1), at the edges of the bins."""
    step = max(1, len(group) // SAMPLED)
    n_groups = int(group.max()) + 1
    group, values = group[::step], values[::step]
    summed = np.zeros(n_groups * bins.n, dtype=np.int64)
    for block in _blocks(len(values)):
        found = bins.index(values[block])
        found += group[block] * np.int32(bins.n)
        summed += np.bincount(found, minlength=len(summed))
    counts = summed.reshape(n_groups, bins.n)
    # Neighbouring densities help each other, so that rare ones, which matter most, have a law of their own.
    counts = gaussian_filter1d(counts.astype(np.float64), SPREAD, axis=0, mode="constant")
    n_voxels = counts.sum(axis=1, keepdims=True)
    many = n_voxels[:, 0] >= LEAST_GROUP
    law = np.tile(bins.edges_hu, (n_groups, 1))
    if not many.any():
        return law
    seen = counts[many] / n_voxels[many]
    law[many] = _quantiles(_cumulative(seen), _cumulative(_deconvolved(seen, bins, noise_hu)), bins)
    return law


def _deconvolved(seen: Array, bins: _Bins, noise_hu: float) -> Array:
    """Return histograms (groups, bins) without the noise, from a start of their own mean and lesser variance."""
    hu = bins.middles_hu
    mean = seen @ hu
    variance = np.maximum(seen @ hu**2 - mean**2, LEAST_BIN_HU**2 / 12.0)
    scale = np.sqrt(np.maximum(variance - noise_hu**2, (0.05 * noise_hu) ** 2) / variance)
    source = mean[:, None] + (bins.edges_hu - mean[:, None]) / np.minimum(scale, 1.0)[:, None]
    at = np.clip((source - bins.edges_hu[0]) / bins.width_hu, 0.0, bins.n)
    low = np.minimum(at.astype(np.intp), bins.n - 1)
    cumulative = _cumulative(seen)
    below, above = (np.take_along_axis(cumulative, low + k, axis=1) for k in (0, 1))
    reached = below + (at - low) * (above - below)
    reached[:, 0], reached[:, -1] = 0.0, 1.0
    true = np.diff(reached, axis=1) + BACKGROUND
    edges = (np.arange(-bins.n, bins.n) + 0.5) * bins.width_hu / noise_hu
    reached_by = np.diff(ndtr(edges))  # a bin from another, by how far apart they are
    blur = reached_by[np.arange(bins.n)[:, None] - np.arange(bins.n) + bins.n - 1]  # (seen, true)
    blur /= blur.sum(axis=0)
    for _ in range(ITERATIONS):
        true *= ((seen + BACKGROUND) / (true @ blur.T + BACKGROUND)) @ blur
        true /= true.sum(axis=1, keepdims=True)
    return np.asarray(true)


def _cumulative(histograms: Array) -> Array:
    """Cumulative shares (groups, bins + 1), from 0 to 1."""
    summed = np.cumsum(histograms, axis=1)
    return np.concatenate([np.zeros((len(summed), 1)), summed / summed[:, -1:]], axis=1)


def _quantiles(seen: Array, true: Array, bins: _Bins) -> Array:
    """HU (groups, bins + 1) at which `true` has reached what `seen` has at each edge of the bins."""
    row = 2.0 * np.arange(len(seen))[:, None]  # apart, so that all rows are one ascending line
    rising = true + 1e-9 * np.arange(bins.n + 1)
    line = np.interp((seen + row).ravel(), (rising + row).ravel(), np.tile(bins.edges_hu, len(seen)))
    return np.asarray(line.reshape(seen.shape))


def typical_deviation(deviations: Values) -> float:
    """The mode of deviations (n,) of small blocks: blocks of mere parenchyma are the most, and agree.

    After Christianson et al., AJR 2015 (global noise level). Vessels and walls make the upper tail.
    """
    counts, edges = np.histogram(
        deviations, bins=np.linspace(0.0, float(np.percentile(deviations, 97.0)), 151)
    )
    peak = int(np.argmax(gaussian_filter1d(counts.astype(np.float64), 3.0)))
    return float(edges[peak] + edges[peak + 1]) / 2.0
