from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dras_model.imaging.phantom.clusters import plant_clusters, power_law_sizes
from dras_model.scores.clusters import fit_power_law, sizes_by_group


def cluster_sizes(low):
    """Of a mask (z, y, x): all its voxels are of one group."""
    at = np.flatnonzero(low)
    return sizes_by_group(at, np.ones(len(at), dtype=np.uint8), low.shape, n_groups=1)[0]


def _by_search(low: np.ndarray) -> list[int]:
    """Sizes of the face-connected pieces, by breadth-first search."""
    left = set(map(tuple, np.argwhere(low)))
    sizes = []
    while left:
        queue, size = deque([left.pop()]), 0
        while queue:
            z, y, x = queue.popleft()
            size += 1
            for near in (
                (z + 1, y, x),
                (z - 1, y, x),
                (z, y + 1, x),
                (z, y - 1, x),
                (z, y, x + 1),
                (z, y, x - 1),
            ):
                if near in left:
                    left.remove(near)
                    queue.append(near)
        sizes.append(size)
    return sorted(sizes)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.6))
def test_clusters_are_those_that_a_search_from_voxel_to_voxel_finds(seed: int, share: float) -> None:
    low = np.random.default_rng(seed).random((9, 8, 7)) < share
    assert sorted(cluster_sizes(low)) == _by_search(low)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_a_cluster_never_reaches_into_another_group(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    low, group = rng.random((6, 7, 5)) < share, rng.integers(0, 4, (6, 7, 5)).astype(np.uint8)
    at = np.flatnonzero(low)
    found = sizes_by_group(at, group.ravel()[at], low.shape, n_groups=3)
    for number, sizes in enumerate(found, start=1):
        assert sorted(sizes) == _by_search(low & (group == number))


def test_the_end_of_a_row_or_slice_does_not_touch_the_next_ones_start() -> None:
    low = np.zeros((2, 3, 4), dtype=bool)
    low[0, 0, 3] = low[0, 1, 0] = True  # one after the other in memory
    low[0, 2, 1] = low[1, 0, 1] = True  # a row apart in memory
    assert sorted(cluster_sizes(low)) == [1, 1, 1, 1]


def test_voxels_that_meet_at_an_edge_are_two_clusters() -> None:
    low = np.zeros((3, 3, 3), dtype=bool)
    low[0, 0, 0] = low[0, 1, 1] = low[1, 1, 1] = True
    assert sorted(cluster_sizes(low)) == [1, 2]


def test_no_low_voxel_is_no_cluster() -> None:
    assert len(cluster_sizes(np.zeros((4, 4, 4), dtype=bool))) == 0


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.5, 2.2])
def test_a_planted_exponent_is_found_to_0_05(exponent: float) -> None:
    mask = np.ones((96, 96, 96), dtype=bool)
    low = plant_clusters(mask, np.minimum(power_law_sizes(300, exponent, smallest=8), 30_000), seed=4)
    law = fit_power_law(cluster_sizes(low))
    assert law is not None
    assert law.exponent == pytest.approx(exponent, abs=0.05)
    assert law.n_clusters == 300
    assert law.r_squared > 0.98


def test_sampled_power_laws_are_found_without_bias() -> None:
    """Sizes drawn at random; 1,000 clusters leave a scatter of 0.05, whose mean over 60 draws is 0.007."""
    rng = np.random.default_rng(5)
    found = [
        law.exponent
        for _ in range(60)
        if (law := fit_power_law(np.floor(8 * rng.random(1000) ** (-1 / 1.2)).astype(np.int64)))
    ]
    assert np.mean(found) == pytest.approx(1.2, abs=0.03)
    assert np.std(found) < 0.09


def test_the_fit_is_that_of_weighted_least_squares_in_numpy() -> None:
    sizes = np.random.default_rng(6).integers(1, 60, 400)
    distinct = np.unique(sizes)
    at_least = np.array([np.count_nonzero(sizes >= size) for size in distinct])
    slope, _ = np.polyfit(np.log(distinct), np.log(at_least), 1, w=np.sqrt(at_least))
    law = fit_power_law(sizes)
    assert law is not None
    assert law.exponent == pytest.approx(-slope, rel=1e-9)


def test_fewer_than_three_sizes_have_no_slope_worth_telling() -> None:
    assert fit_power_law(np.array([4, 4, 9, 9, 9])) is None
