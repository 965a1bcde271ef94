"""The HU of a region as counts, from which every score of its distribution follows.

A region is a union of disjoint cells, so its histogram is a sum: a voxel is read once, whatever the number of
regions. Whole HU are counted as they are, and everything here is exact. Other values (interpolated slices, a
harmonised image) are counted in steps of 1/16 HU, rounded up: a share at or below a threshold stays exact,
a percentile or a mean is off by 1/32 HU at most.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS_PER_HU = 16  # for values that are not whole
SLAB_VOXELS = 1 << 21  # at a time: the temporary arrays of a slab stay below 50 MB


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Bins of HU: the first at `first_hu`, `step_hu` apart; `exact` says that values lie on them."""

    first_hu: float
    step_hu: float
    n_bins: int
    exact: bool

    @classmethod
    def of(cls, hu: NDArray[np.float32], labels: NDArray[np.uint8]) -> "Scale":
        """Choose the bins for the voxels with a label; both of one shape."""
        low, high, whole, fine = np.inf, -np.inf, True, True
        for slab in slabs(hu.shape):
            values, _ = _labelled(hu[slab], labels[slab])
            if values.size == 0:
                continue
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            whole = whole and bool(np.all(values == np.rint(values)))
            fine = whole or (fine and _on_steps(values))
        if low > high:
            return cls(0.0, 1.0, 1, exact=True)
        per_hu = 1 if whole else STEPS_PER_HU
        first = np.floor(low)
        n_bins = int(np.ceil(high * per_hu)) - int(first) * per_hu + 1
        return cls(float(first), 1.0 / per_hu, n_bins, exact=fine)

    def bins(self, values: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the bin of each value (n,), rounded up."""
        if self.step_hu == 1.0 and self.exact:
            return values.astype(np.intp) - int(self.first_hu)
        steps = values * np.float32(1.0 / self.step_hu)  # a power of two: nothing is lost
        found: NDArray[np.intp] = np.ceil(steps, out=steps).astype(np.intp)
        return found - round(self.first_hu / self.step_hu)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Voxels of each bin of `scale`: `counts` (k,)."""

    scale: Scale
    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of voxels."""
        return int(self.counts.sum())

    @property
    def values_hu(self) -> NDArray[np.float64]:
        """The HU that a bin's voxels have (k,), the middle of the bin where they are not on it."""
        shift = 0.0 if self.scale.exact else self.scale.step_hu / 2.0
        values: NDArray[np.float64] = self._ends_hu - shift
        return values

    @property
    def _ends_hu(self) -> NDArray[np.float64]:
        ends: NDArray[np.float64] = self.scale.first_hu + self.scale.step_hu * np.arange(
            self.scale.n_bins, dtype=np.float64
        )
        return ends

    def count_up_to(self, hu: float, *, itself: bool = True) -> int:
        """Number of voxels at or below `hu`, or below it."""
        n_bins = np.searchsorted(self._ends_hu, hu, "right" if itself else "left")
        return int(self.counts[:n_bins].sum())

    def percent_up_to(self, hu: float) -> float:
        """Voxels at or below `hu`, in percent of all."""
        return 100.0 * self.count_up_to(hu) / self.n

    def percentile(self, percent: float) -> float:
        """Percentile with linear interpolation between ranks, as `numpy.percentile` has it."""
        rank = percent / 100.0 * (self.n - 1)
        below = int(rank)
        up_to = np.cumsum(self.counts)
        values = self.values_hu
        low, high = (
            float(values[np.searchsorted(up_to, r, "right")]) for r in (below, min(below + 1, self.n - 1))
        )
        return low + (rank - below) * (high - low)

    def mode(self) -> float:
        """Fullest bin of 1 HU, the lowest of them where several are as full."""
        per_hu = round(1.0 / self.scale.step_hu)
        ends = np.ceil(self._ends_hu).astype(np.int64)
        counts = self.counts if per_hu == 1 else np.bincount(ends - ends[0], weights=self.counts)
        return float(ends[0] + np.argmax(counts))

    def mean(self) -> float:
        """Mean HU."""
        return float(self.counts @ self.values_hu) / self.n

    def central_moment(self, order: int) -> float:
        """Mean of (HU - mean) ** order."""
        return float(self.counts @ (self.values_hu - self.mean()) ** order) / self.n


@dataclass(frozen=True, slots=True, eq=False)
class CellHistograms:
    """One histogram a cell: `counts` (n_cells, k), cell 0 being what is outside."""

    scale: Scale
    counts: NDArray[np.int64]

    def of(self, cells: NDArray[np.intp]) -> Histogram:
        """Return the histogram of a union of cells."""
        return Histogram(self.scale, self.counts[cells].sum(axis=0))


def count_cells(hu: NDArray[np.float32], cells: NDArray[np.uint8], n_cells: int) -> CellHistograms:
    """Count the HU of every cell but 0, both of one shape, each voxel once, slab by slab."""
    scale = Scale.of(hu, cells)
    counts = np.zeros(n_cells * scale.n_bins, dtype=np.int64)
    for slab in slabs(hu.shape):
        values, own = _labelled(hu[slab], cells[slab])
        flat = own.astype(np.intp)
        flat *= scale.n_bins
        flat += scale.bins(values)
        counts += np.bincount(flat, minlength=len(counts))
    return CellHistograms(scale, counts.reshape(n_cells, scale.n_bins))


def slabs(shape: tuple[int, ...]) -> list[slice]:
    """Cut the first axis into slabs of about SLAB_VOXELS."""
    plane = max(1, int(np.prod(shape[1:])))
    thick = max(1, SLAB_VOXELS // plane)
    return [slice(start, start + thick) for start in range(0, shape[0], thick)]


def _labelled(
    hu: NDArray[np.float32], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Values and labels (n,) of what has a label; a line of them is taken as it is."""
    inside = labels > 0
    return (hu.ravel(), labels.ravel()) if inside.all() else (hu[inside], labels[inside])


def _on_steps(values: NDArray[np.float32]) -> bool:
    steps = values * np.float32(STEPS_PER_HU)  # a power of two: nothing is lost
    return bool(np.all(steps == np.rint(steps)))
