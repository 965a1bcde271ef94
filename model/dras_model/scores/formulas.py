"""How each score follows from the voxels of one region; which scores there are is `definitions`' business.

A formula that cannot answer raises `Withheld` with the reason, which takes the place of the number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.scores.clusters import LEAST_VOXELS, LOW_HU, fit_power_law
from dras_model.scores.histogram import Histogram
from dras_model.scores.limits import Limits

AIR_HU = -1000.0  # of the density model: air weighs nothing, 1 g/mL is 0 HU, linear between and beyond
HIGH_FROM_HU, HIGH_TO_HU = -600.0, -250.0


class Withheld(Exception):
    """A score cannot be given; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The lung voxels of one region.

    `apical` and `basal` are its upper and lower third, None where thirds mean nothing; `clusters` are the sizes
    (n,) in voxels of its low-attenuation clusters, None where they were not looked for.
    """

    histogram: Histogram
    voxel_ml: float
    limits: Limits
    apical: Histogram | None = None
    basal: Histogram | None = None
    clusters: NDArray[np.int64] | None = None
    reference_volume_ml: float | None = None


class Found(NamedTuple):
    """A value with the numbers that qualify it."""

    value: float
    details: dict[str, float]


Formula: TypeAlias = Callable[[Sample], float | Found]


def low_attenuation(threshold_hu: float) -> Formula:
    """Return the formula of the share of voxels at or below a threshold, in percent."""

    def percent(sample: Sample) -> float:
        return sample.histogram.percent_up_to(threshold_hu)

    return percent


def high_attenuation(sample: Sample) -> float:
    """Share of voxels from -600 to -250 HU, both included, in percent."""
    histogram = sample.histogram
    n = histogram.count_up_to(HIGH_TO_HU) - histogram.count_up_to(HIGH_FROM_HU, itself=False)
    return 100.0 * n / histogram.n


def percentile_15(sample: Sample) -> float:
    """HU below which 15 % of the voxels lie."""
    return sample.histogram.percentile(15.0)


def density_15(sample: Sample) -> float:
    """Perc15 as a density, g/L."""
    return percentile_15(sample) - AIR_HU


def adjusted_density_15(sample: Sample) -> Found:
    """Perc15 as a density, brought to the reference volume by the sponge model, g/L."""
    reference_ml = sample.reference_volume_ml
    if reference_ml is None:
        raise Withheld("no reference volume was given (`--reference-volume-ml`)")
    found = density_15(sample) * volume(sample) / reference_ml
    return Found(found, {"reference_volume_ml": reference_ml})


def mean(sample: Sample) -> float:
    """Mean HU."""
    return sample.histogram.mean()


def median(sample: Sample) -> float:
    """Median HU."""
    return sample.histogram.percentile(50.0)


def mode(sample: Sample) -> float:
    """Most frequent whole HU."""
    return sample.histogram.mode()


def standard_deviation(sample: Sample) -> float:
    """Standard deviation of the population, HU."""
    return float(np.sqrt(sample.histogram.central_moment(2)))


def skewness(sample: Sample) -> float:
    """Third standardised moment, corrected for bias: Fisher-Pearson G1 (Joanes and Gill 1998)."""
    n, variance = _spread_of(sample)
    g1 = sample.histogram.central_moment(3) / variance**1.5
    return float(g1 * np.sqrt(n * (n - 1.0)) / (n - 2.0))


def kurtosis(sample: Sample) -> float:
    """Fourth standardised moment less 3, corrected for bias: Fisher's G2 (Joanes and Gill 1998)."""
    n, variance = _spread_of(sample)
    g2 = sample.histogram.central_moment(4) / variance**2 - 3.0
    return float((n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * g2 + 6.0))


def _spread_of(sample: Sample) -> tuple[float, float]:
    n, variance = float(sample.histogram.n), sample.histogram.central_moment(2)
    if n < 4 or variance <= 0.0:
        raise Withheld("fewer than four voxels, or all of one value")
    return n, variance


def volume(sample: Sample) -> float:
    """Volume, mL."""
    return sample.histogram.n * sample.voxel_ml


def mass(sample: Sample) -> float:
    """Tissue by the density model, g."""
    histogram = sample.histogram
    density = (np.maximum(histogram.values_hu, AIR_HU) - AIR_HU) / 1000.0
    return float(histogram.counts @ density) * sample.voxel_ml


def air(sample: Sample) -> float:
    """Air by the density model, mL: what is left of the volume when tissue of 1 g/mL is taken away."""
    return volume(sample) - mass(sample)


def cluster_exponent(sample: Sample) -> Found:
    """Exponent D of the size distribution of low-attenuation clusters."""
    if sample.clusters is None:
        raise Withheld("clusters were not looked for in this region")
    voxel_mm3, limits = 1000.0 * sample.voxel_ml, sample.limits
    smallest = max(LEAST_VOXELS, int(np.ceil(limits.smallest_cluster_mm3 / voxel_mm3 - 1e-9)))
    sizes = sample.clusters[sample.clusters >= smallest]
    if len(sizes) < limits.least_clusters:
        raise Withheld(
            f"{len(sizes)} clusters of {smallest * voxel_mm3:.1f} mm³ and more, {limits.least_clusters} are needed"
        )
    law = fit_power_law(sizes)
    if law is None:
        raise Withheld("the clusters have fewer than three sizes")
    details = {
        "r_squared": law.r_squared,
        "n_clusters": float(law.n_clusters),
        "smallest_mm3": smallest * voxel_mm3,
        "largest_mm3": float(sizes.max()) * voxel_mm3,
    }
    return Found(law.exponent, details)


def heterogeneity(sample: Sample) -> Found:
    """LAA-950 of the apical against the basal third, -100 (all basal) to 100 (all apical)."""
    if sample.apical is None or sample.basal is None or 0 in (sample.apical.n, sample.basal.n):
        raise Withheld("the apical and the basal third are not known")
    apical, basal = (part.percent_up_to(LOW_HU) for part in (sample.apical, sample.basal))
    if apical + basal == 0.0:
        raise Withheld("neither third has a voxel at or below -950 HU")
    details = {"apical_percent": apical, "basal_percent": basal}
    return Found(100.0 * (apical - basal) / (apical + basal), details)
