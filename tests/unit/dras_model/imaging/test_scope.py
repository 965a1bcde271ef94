"""Air with vessels in it is lung; what is missing or solid is told with its share."""

import numpy as np
import pytest

from dras_model.imaging.lungs import Lungs
from dras_model.imaging.scope import scope_warnings
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import LungQuality

GRID = Grid((60, 60, 60), np.diag([2.0, 2.0, 2.0, 1.0]))
LABELS = np.zeros(GRID.shape, dtype=np.uint8)
LABELS[5:55, 5:55, 3:28], LABELS[5:55, 5:55, 32:57] = 1, 2
CORE = np.zeros(GRID.shape, dtype=bool)  # what lies more than 10 mm, five voxels, from the surface of a box
CORE[10:50, 10:50, 8:23] = CORE[10:50, 10:50, 37:52] = True


def _lungs(right_ml: float = 2500.0, left_ml: float = 2200.0) -> Lungs:
    quality = LungQuality(
        right_ml=right_ml, left_ml=left_ml, airway_ml=30.0, mean_hu=-850.0, height_mm=100.0,
        touches_top_percent=0.0, touches_bottom_percent=0.0, touches_side_percent=0.0,
    )  # fmt: skip
    return Lungs(LabelMap(LABELS, GRID), quality)


def _volume(share: float, value: float) -> Volume:
    """Lung of -850 HU of whose core a share, evenly strewn, has another value."""
    hu = np.full(GRID.shape, -850.0, dtype=np.float32)
    places = np.argwhere(CORE)
    chosen = places[np.random.default_rng(0).permutation(len(places))[: round(share * len(places))]]
    hu[tuple(chosen.T)] = value
    return Volume(hu, GRID)


def test_usual_lungs_are_not_remarked_upon() -> None:
    assert scope_warnings(_volume(0.03, 0.0), _lungs()) == []


@pytest.mark.parametrize("share", [0.0, 0.002])
def test_air_without_vessels_is_refused(share: float) -> None:
    with pytest.raises(StudyRefused) as refused:
        scope_warnings(_volume(share, 0.0), _lungs())
    assert refused.value.code is Code.OUT_OF_SCOPE
    assert f"{100 * share:.1f}" in str(refused.value)


def test_much_solid_lung_is_atypical_with_its_share() -> None:
    (warning,) = scope_warnings(_volume(0.2, 40.0), _lungs())
    assert warning.code is Code.ATYPICAL
    assert "20 % of the lungs" in warning.message


def test_a_lung_that_holds_next_to_nothing_is_named() -> None:
    (warning,) = scope_warnings(_volume(0.03, 0.0), _lungs(right_ml=150.0))
    assert "the right lung holds 150 of 2350 mL" in warning.message
