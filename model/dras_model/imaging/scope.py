"""Is it lung at all, and all of it? Seen from what runs through it, and from what is missing.

Bags of air in water, foam and gas-filled bowel have the density of lungs, or their place, but no vessels in
them. A missing, white or largely solid lung is no reason to refuse, and none to keep silent.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.distance import distance_mm
from dras_model.imaging.lungs import Lungs
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import StudyWarning

STEP_MM = 2.5  # of the lattice that is looked at
CORE_MM = 10.0  # from the surface of the lungs, so that their wall is not taken for vessels
VESSEL_HU = -500.0  # six standard deviations above lung in a noisy scan
# Of the core is vessel: 1.1 % and more in seven scans, 45 % of emphysema included; none in bags and foam.
LEAST_VESSEL_PERCENT = 0.3
LEAST_CORE_VOXELS = 500  # fewer say nothing
LEAST_SIDE_SHARE = 0.15  # of the air-filled lung; a resected or white lung holds less
SOLID_HU = -200.0
MOST_SOLID_PERCENT = 8.0  # of the core; vessels alone are 0.3 to 3.4 % in the same scans


def scope_warnings(volume: Volume, lungs: Lungs, *, given: bool = False) -> list[StudyWarning]:
    """Warn ATYPICAL where a lung is missing or much of the lungs is solid, whatever their volume.

    Raises StudyRefused OUT_OF_SCOPE where the lungs hold next to nothing but air, unless the mask was `given`:
    a threshold mask leaves vessels out, and whoever gives one has looked.
    """
    core = _core_hu(volume, lungs)
    if len(core) >= LEAST_CORE_VOXELS and not given:
        vessels = 100.0 * float(np.mean(core > VESSEL_HU))
        if vessels < LEAST_VESSEL_PERCENT:
            raise StudyRefused(
                Code.OUT_OF_SCOPE,
                reason=f"{vessels:.2f} % of the air spaces inside the body are vessels, lungs have"
                f" {LEAST_VESSEL_PERCENT} % and more",
            )
    doubts = []
    total_ml = lungs.quality.right_ml + lungs.quality.left_ml
    for side, ml in (("right", lungs.quality.right_ml), ("left", lungs.quality.left_ml)):
        if ml < LEAST_SIDE_SHARE * total_ml:
            doubts.append(f"the {side} lung holds {ml:.0f} of {total_ml:.0f} mL of air-filled lung")
    solid = 100.0 * float(np.mean(core > SOLID_HU)) if len(core) else 0.0
    if solid > MOST_SOLID_PERCENT:
        doubts.append(f"{solid:.0f} % of the lungs are as dense as soft tissue")
    return [StudyWarning.of(Code.ATYPICAL, evidence=", ".join(doubts))] if doubts else []


def _core_hu(volume: Volume, lungs: Lungs) -> NDArray[np.float32]:
    """HU (n,) of lung away from its surface, on a lattice."""
    steps = [max(1, int(STEP_MM / size)) for size in volume.grid.spacing_mm]
    lattice = tuple(slice(None, None, step) for step in steps)
    labels = lungs.map.labels[lattice]
    lung = (labels == RIGHT) | (labels == LEFT)
    z_mm, y_mm, x_mm = (step * size for step, size in zip(steps, volume.grid.spacing_mm, strict=True))
    values: NDArray[np.float32] = volume.hu[lattice][distance_mm(~lung, (z_mm, y_mm, x_mm)) > CORE_MM]
    return values
