"""Every score in every region, from the HU of the native grid: unclipped, padding removed.

A score that cannot be given is there as null with the reason: an empty region, a breath it is not defined at,
slices too thick for the thin tail of the histogram, thirds of lungs that the scan cuts, a missing reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.study import LOBES, Region, Score
from dras_model.scores.acquisition import Phase
from dras_model.scores.clusters import LOW_HU, sizes_by_group
from dras_model.scores.definitions import DEFINITIONS, LUNGS, LUNGS_AND_LOBES, Definition
from dras_model.scores.formulas import Found, Sample, Withheld
from dras_model.scores.histogram import CellHistograms, Histogram, count_cells
from dras_model.scores.limits import Limits
from dras_model.scores.lung_values import LungValues
from dras_model.scores.regions import N_CELLS, Cells, geometry_refused

# Parts of the volume that is imaged: of lungs that the scan cuts they are parts of nothing.
SHARES = frozenset(Region) - LUNGS_AND_LOBES - {Region.CORE, Region.PEEL}


@dataclass(frozen=True, slots=True)
class Conditions:
    """How an image was taken, as far as it decides about its scores; `cut_percent` is what the scan's ends cut."""

    warnings: tuple[Code, ...] = ()
    thickness_mm: float = 1.0
    phase: Phase = "unknown"
    cut_percent: float = 0.0
    reference_volume_ml: float | None = None
    limits: Limits = field(default_factory=Limits)


def measure(
    volume: Volume | LungValues,
    cells: Cells,
    *,
    conditions: Conditions,
    definitions: Iterable[Definition] = DEFINITIONS,
    image: Literal["raw", "harmonised"] = "raw",
) -> tuple[Score, ...]:
    """Compute `definitions` in every region that is known; a warning is attached to the scores it bears on.

    `volume` is any image of the lungs that `cells` were found in, or the values of their voxels. Raises
    StudyRefused MASK_GEOMETRY where it has other voxels.
    """
    if not volume.grid.same_as(cells.grid):
        raise geometry_refused(cells.grid, volume.grid)
    found = _Measured(volume, cells)
    wanted = [
        (definition, region)
        for region in cells.members
        for definition in definitions
        if definition.given_in(region)
    ]
    return tuple(_score(definition, region, found, conditions, image) for definition, region in wanted)


class _Measured:
    """What was counted in one image; clusters are looked for only where a score asks for them."""

    def __init__(self, image: Volume | LungValues, cells: Cells) -> None:
        self.voxel_ml = image.grid.voxel_ml
        self._hu, self._cells = cells.values(image).hu, cells
        self._counts: CellHistograms = count_cells(self._hu, cells.of_voxels, N_CELLS)
        self._histograms: dict[Region, Histogram] = {}

    def histogram(self, region: Region) -> Histogram:
        """Return the counts of a region."""
        if region not in self._histograms:
            self._histograms[region] = self._counts.of(self._cells.members[region])
        return self._histograms[region]

    def clusters(self, region: Region) -> NDArray[np.int64]:
        """Return the sizes in voxels of the low clusters of a lung or lobe; both lungs have those of either."""
        if region is Region.WHOLE:
            return np.concatenate([self._clusters[Region.RIGHT], self._clusters[Region.LEFT]])
        return self._clusters[region]

    @cached_property
    def _clusters(self) -> dict[Region, NDArray[np.int64]]:
        low = np.zeros(self._cells.index.shape, dtype=np.bool_)
        low[self._cells.index > 0] = self._hu <= LOW_HU
        at = np.flatnonzero(low)
        cell = self._cells.index.ravel()[at]
        sizes: dict[Region, NDArray[np.int64]] = {}
        for regions in ((Region.RIGHT, Region.LEFT), LOBES):
            if regions[0] in self._cells.members:
                found = sizes_by_group(
                    at, self._cells.labels_of(regions)[cell], low.shape, n_groups=len(regions)
                )
                sizes.update(zip(regions, found, strict=True))
        return sizes


def _score(
    definition: Definition, region: Region, found: _Measured, conditions: Conditions,
    image: Literal["raw", "harmonised"],
) -> Score:  # fmt: skip
    value, details, reason = _evaluate(definition, region, found, conditions)
    n_voxels = found.histogram(region).n
    return Score(
        code=definition.code,
        value=value,
        unit=definition.unit,
        threshold=definition.threshold,
        comparator=definition.comparator,
        region=region,
        image=image,
        n_voxels=n_voxels,
        volume_ml=n_voxels * found.voxel_ml,
        phase=conditions.phase,
        definition=definition.text(conditions.limits),
        reference=definition.reference,
        # A code may be told twice, of the top and of the bottom.
        warnings=tuple(c for c in dict.fromkeys(conditions.warnings) if c in definition.sensitive_to),
        details=details,
        reason=reason,
    )


def _evaluate(
    definition: Definition, region: Region, found: _Measured, conditions: Conditions
) -> tuple[float | None, dict[str, float], str | None]:
    """Return the value with its details, or the reason why there is none."""
    try:
        _require(definition, region, found, conditions)
        outcome = definition.formula(_sample(definition, region, found, conditions))
    except Withheld as withheld:
        return None, {}, str(withheld)
    return (*outcome, None) if isinstance(outcome, Found) else (outcome, {}, None)


def _sample(definition: Definition, region: Region, found: _Measured, conditions: Conditions) -> Sample:
    has_thirds = region in LUNGS and conditions.cut_percent <= conditions.limits.most_cut_percent
    prefix = "" if region is Region.WHOLE else f"{region}_"
    apical, basal = (
        found.histogram(Region(f"{prefix}{third}")) if has_thirds else None for third in ("apical", "basal")
    )
    return Sample(
        histogram=found.histogram(region),
        voxel_ml=found.voxel_ml,
        limits=conditions.limits,
        apical=apical,
        basal=basal,
        clusters=found.clusters(region) if definition.code == "LAC-D" else None,
        reference_volume_ml=conditions.reference_volume_ml,
    )


def _require(definition: Definition, region: Region, found: _Measured, conditions: Conditions) -> None:
    """Raise Withheld where a score is not to be given whatever its formula says."""
    limits = conditions.limits
    if found.histogram(region).n == 0:
        raise Withheld("the region holds no lung voxel")
    if definition.phase == "inspiration" and conditions.phase == "expiration":
        raise Withheld("it is defined at full inspiration, and the scan is at expiration")
    if definition.phase == "expiration" and conditions.phase == "inspiration":
        raise Withheld("it is defined at expiration, and the scan is at inspiration")
    if definition.phase == "expiration" and conditions.phase == "unknown":
        raise Withheld(
            "it is defined at expiration, and nothing says that the scan is (`--phase expiration`)"
        )
    if definition.thin_tail and conditions.thickness_mm > limits.thick_withheld_mm:
        raise Withheld(f"slices of {conditions.thickness_mm:.1f} mm average low attenuation away")
    if region in SHARES and conditions.cut_percent > limits.most_cut_percent:
        raise Withheld(
            f"the scan ends within the lungs ({conditions.cut_percent:.0f} % of their widest section)"
        )
