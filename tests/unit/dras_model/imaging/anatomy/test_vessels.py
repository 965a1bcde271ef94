import numpy as np
import pytest

from dras_model.imaging.anatomy.vessels import Segments, beside, draw, grow


@pytest.fixture(scope="module")
def targets() -> np.ndarray:
    return np.random.default_rng(0).uniform(-50, 50, (300, 3))


@pytest.fixture(scope="module")
def tree(targets: np.ndarray) -> Segments:
    return grow(np.array([0.0, 0.0, -60.0]), targets, root_radius_mm=6.0)


def test_every_end_point_is_reached(tree: Segments, targets: np.ndarray) -> None:
    ends = tree.end_mm[tree.n_supplied == 1]
    assert sorted(map(tuple, ends)) == sorted(map(tuple, targets))


def test_every_branch_begins_where_another_ends(tree: Segments) -> None:
    ends = {tuple(end) for end in tree.end_mm} | {(0.0, 0.0, -60.0)}
    assert all(tuple(start) in ends for start in tree.start_mm)


def test_vessels_thin_out_towards_their_ends(tree: Segments) -> None:
    assert tree.radii_mm[0, 1] == pytest.approx(6.0)
    assert np.all(np.diff(tree.radii_mm, axis=1) <= 0)
    assert tree.radii_mm[tree.n_supplied == 1].max() < 1.0


def test_a_branching_keeps_the_sum_that_murrays_law_keeps(tree: Segments) -> None:
    children = {}
    for start, radius in zip(tree.start_mm, tree.radii_mm[:, 1], strict=True):
        children.setdefault(tuple(start), []).append(radius)
    for end, radius, n in zip(tree.end_mm, tree.radii_mm[:, 1], tree.n_supplied, strict=True):
        if n > 1:
            assert sum(child**2.7 for child in children[tuple(end)]) == pytest.approx(radius**2.7)


def test_airways_run_beside_the_larger_branches_without_touching_them(tree: Segments) -> None:
    airways = beside(tree, least_supplied=40)
    large = tree.n_supplied >= 40
    assert len(airways.start_mm) == np.count_nonzero(large)
    gap = np.linalg.norm(airways.end_mm - tree.end_mm[large], axis=1)
    assert np.all(gap > airways.radii_mm[:, 1] + tree.radii_mm[large, 1])


def rod(radius_mm: float) -> Segments:
    one = np.array([[2.0, 3.0, -15.0]]), np.array([[2.0, 3.0, 15.0]])
    return Segments(*one, np.full((1, 2), radius_mm), np.array([1]))


def painted(radius_mm: float, wall_mm: float | None = None) -> np.ndarray:
    axes = tuple(np.arange(-20.0, 21.0) for _ in range(3))
    coverage = np.zeros((41, 41, 41), dtype=np.uint8)
    draw(coverage, rod(radius_mm), axes_mm=axes, wall_mm=wall_mm)  # type: ignore[arg-type]
    return coverage


def test_a_rod_is_painted_where_it_is_and_covers_its_area() -> None:
    plane = painted(4.0)[20] / 255.0
    assert plane[23, 22] == 1.0
    assert plane.sum() == pytest.approx(np.pi * 16, rel=0.05)


def test_a_vessel_thinner_than_a_voxel_is_pale() -> None:
    plane = painted(0.2)[20] / 255.0
    assert plane.max() == pytest.approx(np.pi * 0.04, abs=0.1)


def test_a_wall_leaves_its_lumen_free() -> None:
    plane = painted(5.0, wall_mm=1.0)[20]
    assert plane[23, 22] == 0
    assert plane[23, 27] > 150
    assert plane[23, 30] == 0


def test_what_lies_outside_the_grid_is_left_out() -> None:
    axes = tuple(np.arange(100.0, 110.0) for _ in range(3))
    coverage = np.zeros((10, 10, 10), dtype=np.uint8)
    draw(coverage, rod(5.0), axes_mm=axes)  # type: ignore[arg-type]
    assert not coverage.any()
