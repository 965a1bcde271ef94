import numpy as np
import pytest

from dras_model.imaging.phantom.reconstruction import KERNELS, Reconstruction, blurred, reconstruct
from dras_model.scores.harmonisation.bands import raw_noise_hu, reference_kernel, split_bands
from dras_model.scores.harmonisation.spectrum import NoiseSpectrum, noise_spectrum

SPACING = (1.0, 0.75, 0.75)


def _spectrum(kernel: str, noise_hu: float) -> NoiseSpectrum:
    tissue = reconstruct(np.full((8, 192, 192), 48.0), 0.75, Reconstruction(kernel, noise_hu), seed=1)
    found = noise_spectrum(tissue, 0.75)
    assert found is not None
    return found


def _holes(shape: tuple[int, int, int] = (16, 96, 96)) -> np.ndarray:
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.where((z - 8) ** 2 + (y - 48) ** 2 + (x - 48) ** 2 < 8**2, -985.0, -870.0).astype(np.float32)


def test_the_bands_add_up_to_the_scan_at_the_reference_kernel() -> None:
    exact = _holes()
    inside = np.zeros(exact.shape, dtype=np.bool_)
    inside[:, 24:-24, 24:-24] = True
    curve = _spectrum("standard", 25.0)
    scan = blurred(exact, 0.75, curve.kernel)  # by another way through the same kernel
    bands = split_bands(scan, inside, curve, spacing_mm=SPACING, floor=None)
    np.testing.assert_allclose(
        bands.coarse + bands.detail, blurred(exact, 0.75, reference_kernel)[inside], atol=0.5
    )


def test_the_noise_of_the_detail_is_foretold() -> None:
    exact = np.full((24, 160, 160), -870.0)
    inside = np.zeros(exact.shape, dtype=np.bool_)
    inside[:, 32:-32, 32:-32] = True
    how = Reconstruction("standard", 20.0, floor=False)
    bands = split_bands(
        reconstruct(exact, 0.75, how, seed=4),
        inside,
        _spectrum("standard", 20.0),
        spacing_mm=SPACING,
        floor=None,
    )
    follows = np.cov(bands.coarse, bands.detail)[0, 1] / bands.coarse.var()
    assert bands.detail.std() == pytest.approx(bands.noise.detail_hu, rel=0.1)
    assert (bands.coarse + bands.detail).std() == pytest.approx(bands.noise.total_hu, rel=0.1)
    assert (bands.detail - follows * bands.coarse).std() == pytest.approx(bands.noise.alone_hu, rel=0.1)
    assert (1.0 + follows) * bands.coarse.std() == pytest.approx(bands.noise.left_hu, rel=0.15)


def test_the_scans_own_noise_is_what_was_asked_for() -> None:
    assert raw_noise_hu(_spectrum("soft", 20.0), 0.75) == pytest.approx(20.0 * 1.06, rel=0.1)


def test_the_reference_keeps_half_the_contrast_where_it_says() -> None:
    assert reference_kernel(np.array([0.0, 0.35])) == pytest.approx([1.0, 0.5])
    assert KERNELS["soft"](np.array(0.34)) == pytest.approx(0.5)
