import numpy as np
import pytest

from dras_model.imaging.phantom.reconstruction import Reconstruction, blurred, reconstruct
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.scores.harmonisation import Harmonised, harmonise
from dras_model.scores.harmonisation.bands import reference_kernel

PIXEL_MM = 0.75


def _chest(holes: bool, n_slices: int = 20, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Two round lungs in a body, with vessels as rods and, or not, holes 8 mm across; HU and labels."""
    z, y, x = np.meshgrid(np.arange(n_slices), *[np.arange(size) - size / 2] * 2, indexing="ij", sparse=True)
    exact = np.full((n_slices, size, size), -1000.0, dtype=np.float32)
    exact[np.broadcast_to(y**2 + x**2 < 120**2, exact.shape)] = 48.0
    labels = np.zeros(exact.shape, dtype=np.uint8)
    rng = np.random.default_rng(5)
    for label, centre in ((1, -52), (2, 52)):
        lung = np.broadcast_to(y**2 + (x - centre) ** 2 < 45**2, exact.shape)
        exact[lung], labels[lung] = -868.0, label
        for _ in range(30):
            cy, cx, r = rng.uniform(-38, 38), centre + rng.uniform(-38, 38), rng.uniform(1.0, 2.5)
            exact[lung & ((y - cy) ** 2 + (x - cx) ** 2 < r**2)] = 42.0
        for _ in range(14 if holes else 0):
            cz, cy, cx = rng.uniform(0, n_slices), rng.uniform(-35, 35), centre + rng.uniform(-35, 35)
            hole = (z - cz) ** 2 * (1 / PIXEL_MM) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 5.5**2
            exact[lung & hole & (exact < -700)] = -985.0
    return exact, labels


def _harmonised(
    exact: np.ndarray, labels: np.ndarray, kernel: str, noise_hu: float
) -> tuple[Volume, Harmonised]:
    grid = Grid(
        exact.shape, np.array([[0, 0, PIXEL_MM, 0], [0, PIXEL_MM, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]])
    )
    scan = Volume(reconstruct(exact, PIXEL_MM, Reconstruction(kernel, noise_hu), seed=8), grid)
    return scan, harmonise(scan, LabelMap(labels, grid))


def _share(values: np.ndarray) -> float:
    return 100.0 * float(np.mean(values <= -950.0))


def _laa(hu: np.ndarray, labels: np.ndarray) -> float:
    return _share(hu[labels > 0])


@pytest.mark.parametrize(("kernel", "noise_hu"), [("soft", 10.0), ("standard", 10.0), ("hann", 25.0)])
def test_planted_holes_are_found_whatever_kernel_and_noise(kernel: str, noise_hu: float) -> None:
    exact, labels = _chest(holes=True)
    truth = _laa(blurred(exact, PIXEL_MM, reference_kernel), labels)
    assert 2.0 < truth < 12.0
    _, found = _harmonised(exact, labels, kernel, noise_hu)
    assert found.lungs is not None
    assert _share(found.lungs.hu) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize(("kernel", "noise_hu"), [("lung", 10.0), ("bump", 10.0), ("bump", 25.0)])
def test_a_sharp_kernel_costs_none_of_the_planted_holes_and_a_caution_is_given(
    kernel: str, noise_hu: float
) -> None:
    exact, labels = _chest(holes=True)
    truth = _laa(blurred(exact, PIXEL_MM, reference_kernel), labels)
    scan, found = _harmonised(exact, labels, kernel, noise_hu)
    assert found.lungs is not None
    assert _laa(scan.hu, labels) > 2.5 * truth
    assert _share(found.lungs.hu) == pytest.approx(truth, rel=0.1)
    assert "enhanced" in str(found.caution)


def test_a_kernel_that_enhances_nothing_gives_no_caution() -> None:
    exact, labels = _chest(holes=True, n_slices=8)
    _, found = _harmonised(exact, labels, "soft", 10.0)
    assert found.caution is None


@pytest.mark.parametrize(("kernel", "noise_hu"), [("standard", 30.0), ("lung", 10.0)])
def test_noise_invents_no_emphysema_in_healthy_lungs(kernel: str, noise_hu: float) -> None:
    exact, labels = _chest(holes=False)
    scan, found = _harmonised(exact, labels, kernel, noise_hu)
    assert found.lungs is not None
    assert _laa(scan.hu, labels) > 3.0
    assert _share(found.lungs.hu) < 0.3


def test_the_lungs_alone_are_given_and_the_scan_itself_stays() -> None:
    exact, labels = _chest(holes=False, n_slices=8)
    scan, found = _harmonised(exact, labels, "soft", 10.0)
    before = scan.hu.copy()
    assert found.lungs is not None
    assert found.lungs.hu.size == np.count_nonzero(labels)
    image = found.lungs.image(LabelMap(labels, scan.grid)).hu
    assert not image[labels == 0].any()
    np.testing.assert_array_equal(image[labels > 0], found.lungs.hu)
    np.testing.assert_array_equal(scan.hu, before)
    assert found.quality is not None
    assert found.quality.noise_tissue_hu == pytest.approx(10.6, rel=0.15)


def test_the_result_does_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, labels = _chest(holes=False, n_slices=24)
    _, two = _harmonised(exact, labels, "soft", 10.0)
    monkeypatch.setattr("dras_model.imaging.parallel.available_cores", lambda: 1)
    _, one = _harmonised(exact, labels, "soft", 10.0)
    assert one.lungs is not None
    assert two.lungs is not None
    np.testing.assert_allclose(one.lungs.hu, two.lungs.hu, atol=0.01)


def test_more_noise_than_was_validated_is_withheld() -> None:
    exact, labels = _chest(holes=True, n_slices=8)
    _, found = _harmonised(exact, labels, "soft", 60.0)
    assert found.lungs is None
    assert "noise of" in str(found.limit)


def test_a_scan_whose_lungs_lie_at_the_floor_is_withheld() -> None:
    exact, labels = _chest(holes=True, n_slices=8)
    _, found = _harmonised(exact, labels, "edge", 40.0)
    assert found.lungs is None
    assert "lowest stored value" in str(found.limit)


def test_undershoot_that_fell_below_the_floor_is_withheld() -> None:
    exact, labels = _chest(holes=True, n_slices=8)
    _, found = _harmonised(exact, labels, "edge", 5.0)
    assert found.lungs is None
    assert "edges were enhanced 4" in str(found.limit)


def test_coarse_pixels_missing_tissue_and_missing_lungs_are_withheld_with_the_reason() -> None:
    grid = Grid((4, 64, 64), np.array([[0, 0, 3.0, 0], [0, 3.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]]))
    fine = Grid((4, 64, 64), np.array([[0, 0, 0.7, 0], [0, 0.7, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]]))
    lung = np.ones((4, 64, 64), dtype=np.uint8)
    hu = np.full((4, 64, 64), -870.0, dtype=np.float32)
    for of, labels, reason in (
        (grid, lung, "do not resolve"),
        (fine, lung, "soft tissue"),
        (fine, np.zeros_like(lung), "no lung"),
    ):
        found = harmonise(Volume(hu, of), LabelMap(labels, of))
        assert found.lungs is None
        assert reason in str(found.limit)
