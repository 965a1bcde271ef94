import numpy as np
import pytest
from scipy import ndimage

from dras_model.imaging.phantom.clusters import plant_clusters, power_law_sizes


@pytest.mark.parametrize("exponent", [0.7, 1.3, 2.0])
def test_as_many_clusters_are_as_large_as_the_power_law_says(exponent: float) -> None:
    sizes = power_law_sizes(1000, exponent, smallest=20)
    for least in (20, 40, 100, 400):
        assert np.count_nonzero(sizes >= least) == pytest.approx(
            1000 * (20 / least) ** exponent, rel=0.05, abs=1
        )


def test_planted_clusters_have_exactly_their_sizes_and_never_touch() -> None:
    mask = np.ones((60, 60, 60), dtype=bool)
    sizes = power_law_sizes(120, 1.0, smallest=4)
    planted = plant_clusters(mask, sizes, seed=1)
    pieces, _ = ndimage.label(planted, np.ones((3, 3, 3)))  # by corners, too
    assert sorted(np.bincount(pieces.ravel())[1:]) == sorted(sizes)


def test_nothing_is_planted_outside_the_mask() -> None:
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[5:20, 5:20, 5:20] = True
    assert not plant_clusters(mask, np.array([200, 50, 7]), seed=2)[~mask].any()


def test_the_same_seed_plants_the_same() -> None:
    mask = np.ones((30, 30, 30), dtype=bool)
    sizes = np.array([100, 30, 4])
    np.testing.assert_array_equal(plant_clusters(mask, sizes, seed=3), plant_clusters(mask, sizes, seed=3))


def test_a_mask_without_room_is_told() -> None:
    with pytest.raises(ValueError, match="no room for a cluster of 900 voxels"):
        plant_clusters(np.ones((9, 9, 9), dtype=bool), np.array([900]), seed=0)
