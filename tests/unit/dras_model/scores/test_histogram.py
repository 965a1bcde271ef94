import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dras_model.scores.histogram import STEPS_PER_HU, Histogram, Scale, count_cells, slabs

WHOLE = st.lists(st.integers(-1100, 400), min_size=5, max_size=300)
ANY = st.lists(st.floats(-1100, 400, width=32), min_size=5, max_size=300)


def _histogram(values: list[float]) -> Histogram:
    hu = np.array(values, dtype=np.float32).reshape(1, 1, -1)
    cells = np.ones(hu.shape, dtype=np.uint8)
    return count_cells(hu, cells, 2).of(np.array([1]))


@settings(max_examples=60, deadline=None)
@given(WHOLE)
def test_whole_values_give_what_numpy_and_scipy_give(values: list[float]) -> None:
    found, exact = _histogram(values), np.array(values, dtype=np.float64)
    assert found.n == len(values)
    assert found.mean() == pytest.approx(exact.mean())
    assert found.central_moment(2) == pytest.approx(exact.var(), abs=1e-9)
    for percent in (0.0, 15.0, 50.0, 84.1, 100.0):
        assert found.percentile(percent) == pytest.approx(np.percentile(exact, percent))
    assert found.mode() == stats.mode(exact).mode
    for hu in (-950, -856, 0):
        assert found.count_up_to(hu) == (exact <= hu).sum()
        assert found.count_up_to(hu, itself=False) == (exact < hu).sum()


@settings(max_examples=60, deadline=None)
@given(ANY)
def test_any_values_are_counted_exactly_at_whole_thresholds_and_else_to_half_a_step(
    values: list[float],
) -> None:
    found, exact = _histogram(values), np.array(values, dtype=np.float32).astype(np.float64)
    half = 0.5 / STEPS_PER_HU + 1e-6
    for hu in (-950, -910, -856):
        assert found.count_up_to(hu) == (exact <= hu).sum()
    assert abs(found.mean() - exact.mean()) <= half
    assert abs(found.percentile(15.0) - np.percentile(exact, 15.0)) <= half


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4000, 1000), min_size=5, max_size=100), st.sampled_from([2, 4, 16]))
def test_values_on_the_steps_are_exact_though_they_are_not_whole(values: list[int], per_hu: int) -> None:
    exact = np.array(values) / per_hu
    assert _histogram(exact.tolist()).mean() == pytest.approx(exact.mean())
    assert _histogram(exact.tolist()).percentile(50.0) == pytest.approx(np.median(exact))


def test_slabs_cover_every_slice_once_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 0, (13, 5, 7)).astype(np.float32)
    cells = rng.integers(0, 4, hu.shape).astype(np.uint8)
    at_once = count_cells(hu, cells, 4)
    monkeypatch.setattr("dras_model.scores.histogram.SLAB_VOXELS", 80)
    assert [s.start for s in slabs(hu.shape)] == [0, 2, 4, 6, 8, 10, 12]
    np.testing.assert_array_equal(count_cells(hu, cells, 4).counts, at_once.counts)
    for cell in (1, 2, 3):
        assert at_once.of(np.array([cell])).n == (cells == cell).sum()


def test_no_voxel_at_all_is_an_empty_histogram() -> None:
    hu = np.zeros((2, 2, 2), np.float32)
    assert count_cells(hu, np.zeros(hu.shape, np.uint8), 3).of(np.array([1, 2])).n == 0
    assert Scale.of(hu, np.zeros(hu.shape, np.uint8)).n_bins == 1
