"""A small pair whose motion is known, on few and coarse levels: what holds of any deformation that is found."""

from collections.abc import Iterator

import numpy as np
import pytest

from dras_model.imaging import deformable
from dras_model.imaging.deformable import Deformation, Scan, lung_part, register
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom.breath import BreathPair, make_breath_pair
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.scores.paired import LEAST_SIMILARITY

COARSE = ((4, 40), (2, 25))


@pytest.fixture(scope="module")
def pair() -> BreathPair:
    return make_breath_pair(PhantomSpec(seed=3, n_slices=60, matrix=96, noise_hu=5.0))


@pytest.fixture(scope="module", autouse=True)
def coarse_levels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deformable, "LEVELS", COARSE)
        yield


def scans(pair: BreathPair, orientation: str = "LAS") -> tuple[Scan, Scan]:
    exhaled = Scan(pair.expiration.oriented(orientation), pair.lungs.oriented(orientation))
    truth = pair.inspiration.truth
    return exhaled, Scan(pair.inspiration.volume.oriented(orientation), truth.lungs.oriented(orientation))


@pytest.fixture(scope="module")
def found(pair: BreathPair) -> Deformation:
    return register(*scans(pair))


@pytest.fixture(scope="module")
def inside(pair: BreathPair) -> np.ndarray:
    index = np.argwhere(pair.lungs.labels > 0)
    return pair.lungs.grid.to_world(index[np.random.default_rng(0).choice(len(index), 800, replace=False)])


def test_points_are_found_where_the_motion_took_them(
    found: Deformation, pair: BreathPair, inside: np.ndarray
) -> None:
    error = np.linalg.norm(found.to_moving(inside) - pair.breath.to_inspiration(inside), axis=1)
    before = np.linalg.norm(inside - pair.breath.to_inspiration(inside), axis=1)
    assert before.mean() > 20.0
    assert error.mean() < 3.5  # on a lattice of 5 mm; the finest level is measured in benchmarks/paired.py


def test_the_quality_of_a_true_pair_is_good(found: Deformation) -> None:
    quality = found.quality
    assert min(quality.dice_right, quality.dice_left) > 0.95
    assert quality.folded_percent == 0.0
    assert quality.jacobian_least > 0.0


def test_the_mean_jacobian_is_the_ratio_of_the_volumes(found: Deformation, pair: BreathPair) -> None:
    ratio = pair.inspiration.truth.measure().n_voxels / np.count_nonzero(pair.lungs.labels)
    assert found.quality.jacobian_mean == pytest.approx(ratio, rel=0.06)


def test_the_same_scans_give_the_same_bits(found: Deformation, pair: BreathPair) -> None:
    np.testing.assert_array_equal(register(*scans(pair)).shift_mm, found.shift_mm)


def test_the_order_of_the_axes_does_not_move_a_point(
    found: Deformation, pair: BreathPair, inside: np.ndarray
) -> None:
    other = register(*scans(pair, "RPI")).to_moving(inside)
    np.testing.assert_allclose(other, found.to_moving(inside), atol=0.1)


def test_a_scan_laid_onto_itself_stays_where_it_is(pair: BreathPair, inside: np.ndarray) -> None:
    exhaled, _ = scans(pair)
    same = register(exhaled, exhaled)
    np.testing.assert_allclose(same.to_moving(inside), inside, atol=1e-6)
    assert same.quality.dice_left == 1.0
    assert same.quality.similarity == pytest.approx(1.0)


def test_warping_takes_the_nearest_voxel_and_says_where_there_is_none() -> None:
    hu = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    affine = np.array([[0, 0, 2.0, 10], [0, -3.0, 0, 5], [4.0, 0, 0, -8], [0, 0, 0, 1]])
    moving = Volume(hu, Grid(hu.shape, affine))
    # A field that shifts every point by one voxel along x, as far as it reaches.
    lattice = Grid(
        (8, 12, 12), np.array([[0, 0, 2.5, 5.0], [0, 2.5, 0, -15], [2.5, 0, 0, -12], [0, 0, 0, 1]])
    )
    shift = np.broadcast_to(np.array([2.0, 0, 0]), (*lattice.shape, 3)).copy()
    quality = deformable.DeformationQuality(
        dice_right=1, dice_left=1, jacobian_least=1, jacobian_mean=1, jacobian_most=1, folded_percent=0,
        similarity=1, shift_mean_mm=2, shift_most_mm=2,
    )  # fmt: skip
    warped = Deformation(shift, lattice, quality).warp(moving, moving.grid, beyond=-7.0)
    np.testing.assert_array_equal(warped[..., :-1], hu[..., 1:])
    np.testing.assert_array_equal(warped[..., -1], -7.0)


def test_the_part_around_the_lungs_holds_them_all_at_their_place() -> None:
    labels = np.zeros((20, 30, 40), dtype=np.uint8)
    labels[8:12, 10:20, 15:22] = 1
    hu = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    grid = Grid(labels.shape, np.diag([1.0, 1.0, 2.0, 1.0])[[2, 1, 0, 3]] @ np.diag([1.0, 1.0, 1.0, 1.0]))
    part = lung_part(Scan(Volume(hu, grid), LabelMap(labels, grid)))
    offset = np.rint(grid.to_index(part.grid.to_world(np.zeros(3)))).astype(int)
    for place in np.argwhere(labels):
        assert part.hu[tuple(place - offset)] == hu[tuple(place)]


def test_labels_without_lungs_are_an_error() -> None:
    grid = Grid((20, 20, 20), np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]])
    empty = Scan(
        Volume(np.zeros(grid.shape, np.float32), grid), LabelMap(np.zeros(grid.shape, np.uint8), grid)
    )
    with pytest.raises(ValueError, match="lung"):
        register(empty, empty)


def test_somebody_elses_inspiration_fits_the_outline_and_not_the_inside(
    found: Deformation, pair: BreathPair
) -> None:
    stranger = make_phantom(PhantomSpec(seed=5, n_slices=60, matrix=96, noise_hu=5.0))
    exhaled, _ = scans(pair)
    moving = Scan(stranger.volume.oriented("LAS"), stranger.truth.lungs.oriented("LAS"))
    quality = register(exhaled, moving).quality
    assert min(quality.dice_right, quality.dice_left) > 0.9
    assert quality.similarity < LEAST_SIMILARITY < found.quality.similarity
