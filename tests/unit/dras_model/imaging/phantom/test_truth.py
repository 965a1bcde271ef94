import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dras_model.imaging.phantom import Emphysema, Phantom, PhantomSpec, Truth
from dras_model.imaging.volume import Grid, LabelMap

Maker = Callable[..., Phantom]


@pytest.fixture
def tiny() -> Truth:
    """Six slices: two right and one left voxel in each, of 1 mL; the right ones at -1000 and -z."""
    shape = (6, 1, 3)
    grid = Grid(shape, np.array([[0, 0, 10.0, 0], [0, 10.0, 0, 0], [10.0, 0, 0, 0], [0, 0, 0, 1]]))
    labels = np.broadcast_to(np.array([1, 1, 2], dtype=np.uint8), shape).copy()
    hu = np.broadcast_to(np.array([-1000, 0, -800], dtype=np.int16), shape).copy()
    hu[:, 0, 1] = -100 * np.arange(6)
    nothing = np.zeros(shape, dtype=np.bool_)
    return Truth(PhantomSpec(), LabelMap(labels, grid), LabelMap(0 * labels, grid), nothing, hu == -1000, hu)


def test_a_region_is_counted_by_hand(tiny: Truth) -> None:
    right = tiny.measure("right")
    assert right.n_voxels == 12
    assert right.volume_ml == pytest.approx(12.0)
    assert right.laa950_percent == pytest.approx(50.0)
    assert right.emphysema_percent == pytest.approx(50.0)
    assert right.mean_hu == pytest.approx((-6000 - 1500) / 12)
    assert right.perc15_hu == -1000


def test_a_threshold_includes_its_own_value(tiny: Truth) -> None:
    tiny.hu[tiny.hu == -1000] = -950
    assert tiny.measure("right").laa950_percent == pytest.approx(50.0)


def test_thirds_divide_each_lung_and_leave_nothing_out(tiny: Truth) -> None:
    thirds = [tiny.measure(f"left_{third}").n_voxels for third in ("basal", "middle", "apical")]
    assert thirds == [2, 2, 2]
    assert tiny.measure("apical").mean_hu == pytest.approx(np.mean([-1000, -400, -800, -1000, -500, -800]))


def test_thirds_of_a_chest_hold_about_equal_volumes(small: Maker) -> None:
    truth = small(seed=1).truth
    whole = truth.measure().volume_ml
    for third in ("basal", "middle", "apical"):
        assert truth.measure(third).volume_ml == pytest.approx(whole / 3, rel=0.12)


def test_a_region_that_is_not_shown_is_an_error(tiny: Truth) -> None:
    tiny.lungs.labels[tiny.lungs.labels == 2] = 0
    with pytest.raises(ValueError, match="left"):
        tiny.measure("left")


def test_the_file_tells_spec_and_every_region(small: Maker, tmp_path: Path) -> None:
    phantom = small(seed=3, emphysema=Emphysema("centrilobular", 0.15))
    phantom.truth.write_json(tmp_path / "truth.json", scanned=phantom.volume.hu)
    content = json.loads((tmp_path / "truth.json").read_text())
    assert content["spec"]["emphysema"] == {"kind": "centrilobular", "fraction": 0.15, "place": "whole"}
    inside = phantom.volume.hu[phantom.truth.lungs.labels > 0]
    assert content["scanned"][0]["laa950_percent"] == pytest.approx(100.0 * np.mean(inside <= -950))
    assert content["scanned"][0]["perc15_hu"] == pytest.approx(np.percentile(inside, 15), abs=1.0)
    regions = {entry["region"]: entry for entry in content["noise_free"]}
    assert len(regions) == 12
    assert regions["whole"]["laa950_percent"] == pytest.approx(15.0, abs=0.1)
    assert regions["right"]["n_voxels"] + regions["left"]["n_voxels"] == regions["whole"]["n_voxels"]
