from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from dras_model.imaging.phantom import Emphysema, Phantom, PhantomSpec, make_phantom

Maker = Callable[..., Phantom]
RIGHT, LEFT = 1, 2


def outside_air(hu: np.ndarray) -> np.ndarray:
    """Air that is connected to the first column of the image: everything around the body."""
    regions, _ = label(hu < -400)
    return regions == regions[0, 0, 0]


def test_a_scan_without_noise_holds_exactly_the_true_voxels(small: Maker) -> None:
    phantom = small(seed=1)
    assert np.array_equal(phantom.volume.hu, phantom.truth.hu)


def test_voxels_are_whole_hu_of_twelve_bits(small: Maker) -> None:
    hu = small(seed=1, noise_hu=60.0, kernel="sharp").volume.hu
    assert np.array_equal(hu, np.rint(hu))
    assert hu.min() >= -1024
    assert hu.max() <= 3071


def test_the_same_spec_gives_the_same_bits() -> None:
    spec = PhantomSpec(seed=4, n_slices=20, matrix=64, emphysema=Emphysema("centrilobular", 0.1))
    first, second = make_phantom(spec), make_phantom(spec)
    assert np.array_equal(first.volume.hu, second.volume.hu)
    assert np.array_equal(first.truth.emphysema, second.truth.emphysema)


def test_two_seeds_are_two_people(small: Maker) -> None:
    one, other = (small(seed=seed).truth.lungs.labels > 0 for seed in (1, 2))
    dice = 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
    assert 0.7 < dice < 0.96


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_an_adult_at_full_inspiration_has_four_to_seven_litres_most_of_them_on_the_right(
    small: Maker, seed: int
) -> None:
    truth = small(seed=seed).truth
    n_right, n_left = (np.count_nonzero(truth.lungs.labels == side) for side in (RIGHT, LEFT))
    litres = (n_right + n_left) * np.prod(truth.lungs.grid.spacing_mm) / 1e6
    assert 4.0 < litres < 7.0
    assert 0.5 < n_right / (n_right + n_left) < 0.58


def test_the_right_lung_lies_on_the_patients_right(small: Maker) -> None:
    lungs = small(seed=1).truth.lungs
    right, left = (lungs.grid.to_world(np.argwhere(lungs.labels == side))[:, 0] for side in (RIGHT, LEFT))
    assert np.median(right) < 0 < np.median(left)


def test_a_lung_tapers_upwards_and_reaches_lowest_behind(small: Maker) -> None:
    lungs = small(seed=1).truth.lungs
    area = (lungs.labels > 0).sum(axis=(1, 2))
    shown = np.flatnonzero(area)
    assert area[shown[-3]] < 0.35 * area.max()
    lowest = np.argwhere(lungs.labels[shown[0] : shown[0] + 3] > 0)[:, 1].mean()
    assert lowest > np.argwhere(lungs.labels > 0)[:, 1].mean()


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_the_body_wall_closes_around_the_lungs(small: Maker, seed: int) -> None:
    truth = small(seed=seed).truth
    assert not np.any(outside_air(truth.hu) & (truth.lungs.labels > 0))


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_the_whole_lungs_are_scanned(small: Maker, seed: int) -> None:
    labels = small(seed=seed).truth.lungs.labels
    assert not labels[[0, -1]].any()


def test_the_windpipe_holds_air_from_the_top_slice_down_and_is_no_lung(small: Maker) -> None:
    truth = small(seed=1).truth
    airway = truth.airway.labels > 0
    assert airway[-1].any()
    assert truth.hu[airway].min() < -990
    assert not np.any(airway & (truth.lungs.labels > 0))
    assert label(airway)[1] == 1


def test_air_in_the_stomach_is_neither_lung_nor_around_the_body(small: Maker) -> None:
    truth = small(seed=1).truth
    known = (truth.lungs.labels > 0) | (truth.airway.labels > 0) | outside_air(truth.hu)
    gas = (truth.hu < -950) & ~known
    assert np.count_nonzero(gas) * truth.lungs.grid.voxel_ml > 20.0


def test_healthy_lung_has_no_voxel_of_emphysema(small: Maker) -> None:
    truth = small(seed=1).truth
    assert truth.hu[truth.lungs.labels > 0].min() >= -930
    assert not truth.emphysema.any()


def test_healthy_lung_is_denser_behind_than_in_front(small: Maker) -> None:
    truth = small(seed=1).truth
    z, y, x = np.nonzero((truth.lungs.labels > 0) & (truth.hu < -800))
    hu = truth.hu[z, y, x]
    low, high = np.quantile(y, [0.25, 0.75])
    assert hu[y > high].mean() > hu[y < low].mean() + 15


@pytest.mark.parametrize(
    ("kind", "fraction"),
    [("centrilobular", 0.01), ("centrilobular", 0.3), ("paraseptal", 0.05), ("panlobular", 0.2)],
)
def test_the_asked_fraction_of_the_lung_is_lost(small: Maker, kind: str, fraction: float) -> None:
    truth = small(seed=3, emphysema=Emphysema(kind, fraction)).truth
    lung = truth.hu[truth.lungs.labels > 0]
    assert 100 * np.mean(lung <= -950) == pytest.approx(100 * fraction, abs=0.1)
    assert np.all(truth.hu[truth.emphysema] <= -980)


def test_emphysema_stays_in_its_place(small: Maker) -> None:
    truth = small(seed=3, emphysema=Emphysema("centrilobular", 0.05, "right_apical")).truth
    right = truth.lungs.labels == RIGHT
    assert not np.any(truth.emphysema & ~right)
    heights = np.nonzero(right)[0]
    assert np.nonzero(truth.emphysema)[0].min() >= np.quantile(heights, 2 / 3) - 1


def test_paraseptal_emphysema_lies_nearer_the_pleura_than_centrilobular(small: Maker) -> None:
    def depth_mm(kind: str) -> float:
        truth = small(seed=3, emphysema=Emphysema(kind, 0.05)).truth
        depth = distance_transform_edt(truth.lungs.labels > 0, sampling=truth.lungs.grid.spacing_mm)
        return float(np.median(depth[truth.emphysema]))

    assert depth_mm("paraseptal") < 0.6 * depth_mm("centrilobular")


def test_a_place_too_small_for_its_emphysema_is_an_error() -> None:
    spec = PhantomSpec(n_slices=20, matrix=64, emphysema=Emphysema("panlobular", 0.5, "left_basal"))
    with pytest.raises(ValueError, match="asked for"):
        make_phantom(spec)


def test_breathing_out_keeps_the_tissue_and_loses_the_air(small: Maker) -> None:
    full, half = (small(seed=1, inflation=inflation).truth for inflation in (1.0, 0.5))

    def lung(truth: object) -> np.ndarray:
        return truth.hu[truth.lungs.labels > 0].astype(float)  # type: ignore[attr-defined]

    assert len(lung(half)) / len(lung(full)) == pytest.approx(0.5, abs=0.1)
    parenchyma = [lung(truth)[lung(truth) < -500] + 1000.0 for truth in (full, half)]
    assert parenchyma[1].sum() == pytest.approx(parenchyma[0].sum(), rel=0.2)


def test_noise_has_the_asked_deviation(small: Maker) -> None:
    phantom = small(seed=1, noise_hu=20.0)
    inside = (phantom.truth.hu > -500) & (phantom.truth.hu < 100)
    assert np.std((phantom.volume.hu - phantom.truth.hu)[inside]) == pytest.approx(20.0, rel=0.03)


def test_a_repeated_scan_shows_the_same_person_in_other_noise(small: Maker) -> None:
    once, again = (small(noise_hu=20.0, repeat=n) for n in (0, 1))
    assert np.array_equal(once.truth.hu, again.truth.hu)
    noises = [(scan.volume.hu - scan.truth.hu)[:, 4:-4, 4:-4].ravel() for scan in (once, again)]
    assert abs(np.corrcoef(noises)[0, 1]) < 0.02


def test_soft_noise_is_smooth_and_sharp_noise_is_not(small: Maker) -> None:
    def neighbours(kernel: str) -> float:
        phantom = small(seed=1, noise_hu=20.0, kernel=kernel)
        noise = (phantom.volume.hu - phantom.truth.hu)[:, 40:56, 40:56]
        return float(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1])

    assert neighbours("soft") > 0.4
    assert neighbours("sharp") < 0.0


def test_thick_slices_hide_emphysema(small: Maker) -> None:
    holes = Emphysema("centrilobular", 0.1)
    thin, thick = (small(seed=3, n_slices=30, emphysema=holes, thickness_mm=mm).truth for mm in (1.0, 6.0))
    found = [float(np.mean(truth.hu[truth.lungs.labels > 0] <= -950)) for truth in (thin, thick)]
    assert found[1] < 0.85 * found[0]


def test_a_finer_matrix_shows_the_same_person(small: Maker) -> None:
    coarse, fine = (small(seed=1, matrix=matrix).truth.measure() for matrix in (96, 128))
    assert fine.volume_ml == pytest.approx(coarse.volume_ml, rel=0.01)
    assert fine.mean_hu == pytest.approx(coarse.mean_hu, abs=6.0)


def test_a_scan_of_a_part_shows_the_same_voxels(small: Maker) -> None:
    """Ten slices of 6 mm lie where the twentieth to the twenty-ninth of fifty do."""
    whole, part = small(seed=1).truth, small(seed=1, n_slices=10, slice_mm=6.0).truth
    assert np.array_equal(part.hu, whole.hu[20:30])
    assert np.array_equal(part.lungs.labels, whole.lungs.labels[20:30])
