from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from dras_model.imaging.phantom import Findings, Phantom

Maker = Callable[..., Phantom]
RIGHT, LEFT = 1, 2


def _count(phantom: Phantom, side: int) -> int:
    return int(np.count_nonzero(phantom.truth.lungs.labels == side))


def test_a_chest_without_findings_is_what_it_was(small: Maker) -> None:
    one, other = small(seed=1), small(seed=1, findings=Findings())
    np.testing.assert_array_equal(one.volume.hu, other.volume.hu)


def test_an_absent_lung_leaves_fluid_and_draws_the_middle_to_its_side(small: Maker) -> None:
    whole, one = small(seed=1), small(seed=1, findings=Findings(absent="left"))
    assert _count(one, LEFT) == 0
    space = whole.truth.lungs.labels == LEFT
    assert np.median(one.volume.hu[space]) == pytest.approx(12.0, abs=30.0)
    columns = [np.nonzero(p.truth.lungs.labels == RIGHT)[2].max() for p in (whole, one)]
    assert columns[1] > columns[0]


@pytest.mark.parametrize("fraction", [0.1, 0.35])
def test_an_effusion_takes_its_share_of_the_lung_from_behind(small: Maker, fraction: float) -> None:
    whole = small(seed=1)
    wet = small(seed=1, findings=Findings(effusion="right", effusion_fraction=fraction))
    assert _count(wet, RIGHT) == pytest.approx((1.0 - fraction) * _count(whole, RIGHT), rel=0.04)
    assert _count(wet, LEFT) == _count(whole, LEFT)
    lost = (whole.truth.lungs.labels == RIGHT) & (wet.truth.lungs.labels == 0)
    assert np.nonzero(lost)[1].mean() > np.nonzero(whole.truth.lungs.labels == RIGHT)[1].mean()


@pytest.mark.parametrize("place", ["apex", "base", "flank"])
def test_a_consolidated_lung_is_lung_as_dense_as_tissue_with_air_in_its_bronchi(
    small: Maker, place: str
) -> None:
    findings = Findings(consolidation="left", consolidation_fraction=0.3, consolidation_place=place)
    whole, dense = small(seed=1), small(seed=1, findings=findings)
    np.testing.assert_array_equal(whole.truth.lungs.labels, dense.truth.lungs.labels)
    left = whole.truth.lungs.labels == LEFT
    changed = left & (whole.volume.hu < -500) & (dense.volume.hu > -100)
    assert np.count_nonzero(changed) == pytest.approx(0.3 * np.count_nonzero(left), rel=0.15)
    beyond = ~binary_dilation(left, iterations=2)  # a voxel at the border is part of both
    np.testing.assert_array_equal(whole.volume.hu[beyond], dense.volume.hu[beyond])


def test_bullae_are_air_within_the_lung(small: Maker) -> None:
    whole, blistered = small(seed=1), small(seed=1, findings=Findings(bullae=4))
    new_air = (blistered.volume.hu < -985) & (whole.volume.hu > -960)
    assert np.count_nonzero(new_air) * whole.volume.grid.voxel_ml > 20.0
    assert np.all(whole.truth.lungs.labels[new_air] > 0)


def test_bowel_gas_lies_outside_the_lungs(small: Maker) -> None:
    whole, full = small(seed=1), small(seed=1, findings=Findings(stomach_gas=True, colon_gas=True))
    np.testing.assert_array_equal(whole.truth.lungs.labels, full.truth.lungs.labels)
    new_air = (full.volume.hu < -900) & (whole.volume.hu > -200)
    assert np.count_nonzero(new_air) * whole.volume.grid.voxel_ml > 150.0
    assert not whole.truth.lungs.labels[new_air].any()


def test_a_wide_airway_is_wider_and_takes_nothing_else(small: Maker) -> None:
    narrow, wide = small(seed=1), small(seed=1, findings=Findings(airway_width=1.8))
    assert np.count_nonzero(wide.truth.airway.labels) > 2.0 * np.count_nonzero(narrow.truth.airway.labels)


@pytest.mark.parametrize(
    "wrong",
    [{"effusion_fraction": 0.0}, {"consolidation_fraction": 0.7}, {"airway_width": 4.0}, {"bullae": -1}],
)
def test_a_finding_that_cannot_be_drawn_is_no_finding(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"lung|airway"):
        Findings(**wrong)
