"""Each lung of a thorax with one finding, against the truth of the phantom: Dice of at least 0.98 a side."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import segment_lungs
from dras_model.imaging.phantom import Emphysema, Findings, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind, Kernel
from dras_model.results.codes import Code
from dras_model.results.study import StudyWarning
from dras_model.scores.plausibility import lung_warnings

LEAST_DICE = 0.98
BASE: dict[str, Any] = {"seed": 7, "n_slices": 75, "matrix": 112, "noise_hu": 15.0}
FINE = {"n_slices": 100, "matrix": 160}  # on blocks of 3.4 mm a consolidated base reaches 0.975
THORACES: dict[str, dict[str, Any]] = {
    "severe panlobular emphysema": {"emphysema": Emphysema(EmphysemaKind.PANLOBULAR, 0.55)},
    "severe centrilobular emphysema": {"emphysema": Emphysema(EmphysemaKind.CENTRILOBULAR, 0.5)},
    "no right lung": {"findings": Findings(absent="right")},
    "no left lung": {"findings": Findings(absent="left")},
    "no left lung, mediastinum in place": {"findings": Findings(absent="left", shift_mm=0.0)},
    "effusion on the right": {"findings": Findings(effusion="right")},
    "large effusion on the left": {"findings": Findings(effusion="left", effusion_fraction=0.35)},
    "right upper third consolidated": {"findings": Findings(consolidation="right")},
    "left upper third consolidated": {"findings": Findings(consolidation="left")},
    "right base consolidated": {
        "findings": Findings(consolidation="right", consolidation_place="base"), **FINE,
    },
    "left base consolidated": {
        "findings": Findings(consolidation="left", consolidation_place="base"), **FINE,
    },
    "right flank consolidated": {"findings": Findings(consolidation="right", consolidation_place="flank")},
    "bullae at the pleura": {"findings": Findings(bullae=6)},
    "gas in the stomach": {"findings": Findings(stomach_gas=True)},
    "colon before the liver": {"findings": Findings(colon_gas=True)},
    "gas on both sides, 5 mm slices": {
        "findings": Findings(stomach_gas=True, colon_gas=True), "n_slices": 60, "thickness_mm": 5.0,
    },
    "tracheomegaly": {"findings": Findings(airway_width=1.8)},
    "lungs that touch": {"findings": Findings(joined=True)},
    "5 mm slices": {"n_slices": 60, "thickness_mm": 5.0},
    "8 mm slices": {"n_slices": 38, "slice_mm": 8.0, "thickness_mm": 8.0},
    "0.6 mm slices": {"n_slices": 250, "slice_mm": 0.6, "matrix": 64},
    "noise of a sharp kernel": {"kernel": Kernel.SHARP, "noise_hu": 120.0},
    "small matrix": {"matrix": 64},
    "breathed out": {"inflation": 0.55},
}  # fmt: skip


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2.0 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def _suspect(warnings: list[StudyWarning]) -> bool:
    return any(warning.code is Code.SEGMENTATION_SUSPECT for warning in warnings)


@pytest.mark.parametrize("name", THORACES)
def test_each_lung_is_found_and_no_other(name: str) -> None:
    phantom = make_phantom(PhantomSpec(**{**BASE, **THORACES[name]}))
    lungs = segment_lungs(phantom.volume.oriented("LAS"))
    truth = phantom.truth.lungs.oriented("LAS").labels
    dice = {}
    for side, label in (("right", RIGHT), ("left", LEFT)):
        found, true = lungs.map.labels == label, truth == label
        if true.any():
            dice[side] = _dice(found, true)
        else:
            assert not found.any(), f"{np.count_nonzero(found)} voxels of a {side} lung that is not there"
    assert min(dice.values()) >= LEAST_DICE, dice
    # What no threshold shows, and a lung without the other, is told; everything else is silent.
    told = "consolidated" in name or name.startswith("no ")
    quality = lungs.quality.model_copy(update={"airway_ml": 40.0})  # the airway has its own limit
    assert _suspect(lung_warnings(quality)) == told, quality
