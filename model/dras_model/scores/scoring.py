"""All that is said of one scan: its scores and every warning that bears on them, from header to alignment.

The order matters: warnings come first, since each score carries those that bear on it.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.lungs import Lungs
from dras_model.imaging.patches import Patches
from dras_model.imaging.study import StudyHeader
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.results.study import (
    HarmonisationQuality,
    ImageQuality,
    RegistrationQuality,
    Score,
    StudyWarning,
)
from dras_model.scores.acquisition import AskedPhase, acquisition_warnings, phase_of, thickness_mm
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.harmonisation import Harmonised, harmonise
from dras_model.scores.harmonised import harmonised_scores
from dras_model.scores.image_quality import measure_image
from dras_model.scores.limits import Limits
from dras_model.scores.patches import measure_patches
from dras_model.scores.plausibility import (
    cut_percent,
    domain_warnings,
    image_warnings,
    lung_warnings,
    registration_warnings,
    told_once,
)
from dras_model.scores.regions import Cells, find_cells


@dataclass(frozen=True, slots=True)
class ScoringChoices:
    """What a caller may say of a scan: its breath, the volume to adjust to, a lobe mask, other limits."""

    phase: AskedPhase = "auto"
    reference_volume_ml: float | None = None
    lobes: Path | None = None
    limits: Limits = field(default_factory=Limits)
    harmonise: bool = True

    def __post_init__(self) -> None:
        if self.reference_volume_ml is not None and not 0 < self.reference_volume_ml < float("inf"):
            raise ValueError(f"a reference volume is positive, found {self.reference_volume_ml}")


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """The scores of a scan with what they rest on; `patches` holds a column (n,) a name, in the atlas' order.

    `cells` and `conditions` are kept for measuring another image of the same lungs; `harmonisation` is what was
    found in making the harmonised image.
    """

    scores: tuple[Score, ...]
    warnings: tuple[StudyWarning, ...]
    image: ImageQuality
    patches: Mapping[str, NDArray[np.float32]]
    cells: Cells
    conditions: Conditions
    harmonisation: HarmonisationQuality | None = None


def score_scan(
    volume: Volume,
    lungs: Lungs,
    *,
    header: StudyHeader,
    registration: RegistrationQuality,
    patches: Patches,
    lobes: LabelMap | None = None,
    choices: ScoringChoices | None = None,
) -> Scoring:
    """Measure a scan and say what may be wrong with it; all arrays are on the grid of `volume`.

    Raises StudyRefused MASK_GEOMETRY where the lobe mask has other voxels than the scan.
    """
    choices = choices or ScoringChoices()
    # Harmonisation is transforms, the rest is counting, which hardly uses a second core: side by side, both take
    # little more than the longer.
    with ThreadPoolExecutor(max_workers=1) as beside:
        found = beside.submit(harmonise, volume, lungs.map) if choices.harmonise else None
        scoring = _as_it_is(
            volume,
            lungs,
            header=header,
            registration=registration,
            patches=patches,
            lobes=lobes,
            choices=choices,
        )
        return scoring if found is None else _with_harmonised(scoring, volume, found)


def _as_it_is(
    volume: Volume,
    lungs: Lungs,
    *,
    header: StudyHeader,
    registration: RegistrationQuality,
    patches: Patches,
    lobes: LabelMap | None,
    choices: ScoringChoices,
) -> Scoring:
    """Measure the scan itself."""
    limits, acquisition = choices.limits, header.acquisition
    phase = phase_of(acquisition, choices.phase)
    thick_mm = thickness_mm(acquisition, header.grid)
    image = measure_image(volume, lungs.map, limits)
    warnings = told_once(
        [
            *header.warnings,
            *acquisition_warnings(acquisition, header.grid, limits=limits, phase=phase),
            *image_warnings(image, limits),
            *lung_warnings(lungs.quality, limits),
            *registration_warnings(registration, limits),
            *domain_warnings(header.grid, thick_mm, lungs=lungs.quality, image=image, limits=limits),
        ]
    )
    conditions = Conditions(
        warnings=tuple(warning.code for warning in warnings),
        thickness_mm=thick_mm,
        phase=phase,
        cut_percent=cut_percent(lungs.quality),
        reference_volume_ml=choices.reference_volume_ml,
        limits=limits,
    )
    cells = find_cells(lungs.map, peel_mm=limits.peel_mm, lobes=lobes)
    values = cells.values(volume)
    scores = measure(values, cells, conditions=conditions)
    columns = measure_patches(values, cells, patches)
    return Scoring(scores, warnings, image, columns, cells, conditions)


def _with_harmonised(scoring: Scoring, volume: Volume, found: Future[Harmonised]) -> Scoring:
    """Add the scores of the harmonised image, beside the raw ones."""
    again, limits_met, quality = harmonised_scores(
        volume, found.result(), scoring.cells, conditions=scoring.conditions
    )
    return replace(
        scoring,
        scores=(*scoring.scores, *again),
        warnings=(*scoring.warnings, *limits_met),
        harmonisation=quality,
    )
