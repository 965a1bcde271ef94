import numpy as np
import pytest
from scipy.ndimage import label

from dras_model.imaging.phantom import head_ct, noise_ct, water_cylinder


def test_water_is_zero_hu_and_lies_in_the_middle() -> None:
    hu = water_cylinder().hu
    middle = hu[:, 54:74, 54:74]
    assert abs(middle.mean()) < 0.5
    assert hu[:, 0].mean() == pytest.approx(-1000, abs=2)


def test_a_head_has_bone_around_brain_and_little_air_inside() -> None:
    volume = head_ct(3)
    outside = np.stack([regions == regions[0, 0] for regions in (label(p < -400)[0] for p in volume.hu)])
    inside = (volume.hu < -400) & ~outside
    assert 20.0 < inside.sum() * volume.grid.voxel_ml < 200.0
    assert np.count_nonzero(volume.hu > 700) * volume.grid.voxel_ml > 200.0


def test_noise_has_no_structure() -> None:
    hu = noise_ct(1).hu
    assert abs(np.corrcoef(hu[:, 1:].ravel(), hu[:, :-1].ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("make", [head_ct, noise_ct, water_cylinder])
def test_the_same_seed_gives_the_same_scan(make: object) -> None:
    assert np.array_equal(make(7).hu, make(7).hu)  # type: ignore[operator]
    assert not np.array_equal(make(7).hu, make(8).hu)  # type: ignore[operator]
