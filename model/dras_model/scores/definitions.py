"""Each score's definition beside the code that computes it, so that neither can drift.

Sources: Schroeder AJR 2013 (LAA), Parr Thorax 2006 (Perc15), Chest Imaging Platform (mass, columns).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dras_model.results.codes import Code

Values = NDArray[np.float32]

# What bears on any number taken inside the mask, on a mean, and on the thin tail of the histogram.
_MASK = frozenset({Code.INCOMPLETE_LUNG, Code.SEGMENTATION_SUSPECT, Code.ATYPICAL, Code.INTERPOLATED_SLICES})
_MEAN = _MASK | {Code.CONTRAST_ENHANCED, Code.NOT_INSPIRATION, Code.DERIVED_IMAGE, Code.ACQUISITION_UNKNOWN}
_TAIL = _MEAN | {Code.SHARP_KERNEL, Code.UNKNOWN_KERNEL, Code.THICK_SLICE, Code.LOSSY, Code.TILT}


@dataclass(frozen=True, slots=True)
class Definition:
    """One score: `compute(values, voxel_ml)` over the HU of a region's lung voxels (n,), n >= 1.

    `sensitive_to` are the warnings that bear on it.
    """

    code: str
    unit: str
    definition: str
    reference: str
    compute: Callable[[Values, float], float]
    sensitive_to: frozenset[Code] = frozenset()
    threshold: float | None = None
    comparator: Literal["<=", "<", ">=", ">"] | None = None


def _low_attenuation(threshold: float) -> Callable[[Values, float], float]:
    def percent(values: Values, voxel_ml: float) -> float:  # noqa: ARG001 - one signature for all
        return 100.0 * float(np.count_nonzero(values <= threshold)) / values.size

    return percent


def _percentile_15(values: Values, voxel_ml: float) -> float:  # noqa: ARG001
    return float(np.percentile(values, 15.0))


def _mean(values: Values, voxel_ml: float) -> float:  # noqa: ARG001
    return float(values.mean(dtype=np.float64))


def _volume(values: Values, voxel_ml: float) -> float:
    return values.size * voxel_ml


def _mass(values: Values, voxel_ml: float) -> float:
    density = np.maximum(values.astype(np.float64), -1000.0) + 1000.0
    return float(density.sum()) / 1000.0 * voxel_ml


def _laa(threshold: int) -> Definition:
    return Definition(
        code=f"LAA{threshold}insp",
        unit="%",
        definition=f"voxels at or below {threshold} HU over all lung voxels, at full inspiration",
        reference="Schroeder et al., AJR 2013",
        compute=_low_attenuation(float(threshold)),
        sensitive_to=_TAIL,
        threshold=float(threshold),
        comparator="<=",
    )


DEFINITIONS: tuple[Definition, ...] = (
    _laa(-950),
    _laa(-910),
    Definition(
        code="Perc15",
        unit="HU",
        definition="HU below which 15 % of the lung voxels lie (linear interpolation between ranks)",
        reference="Parr et al., Thorax 2006",
        compute=_percentile_15,
        sensitive_to=_TAIL,
    ),
    Definition(
        code="MLD",
        unit="HU",
        definition="mean HU of the lung voxels",
        reference="Chest Imaging Platform, parenchyma phenotypes",
        compute=_mean,
        sensitive_to=_MEAN,
    ),
    Definition(
        code="volume",
        unit="mL",
        definition="number of lung voxels times the volume of one, vessels included, airways not",
        reference="Chest Imaging Platform, parenchyma phenotypes",
        compute=_volume,
        sensitive_to=_MASK,
    ),
    Definition(
        code="mass",
        unit="g",
        definition="sum of (HU + 1000) / 1000 g/mL times the voxel volume, HU below -1000 taken as -1000",
        reference="Chest Imaging Platform, parenchyma phenotypes",
        compute=_mass,
        sensitive_to=_MEAN,
    ),
)
