import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dras_model.imaging.phantom.reconstruction import KERNELS, Reconstruction, reconstruct
from dras_model.scores.harmonisation.spectrum import _tissue_spectra, noise_spectrum

FREQUENCIES = np.linspace(0.1, 0.45, 8)  # beyond, a soft kernel leaves little to measure


def _tissue(kernel: str, noise_hu: float, pixel_mm: float = 0.75) -> np.ndarray:
    exact = np.full((8, 192, 192), 48.0, dtype=np.float32)
    return reconstruct(exact, pixel_mm, Reconstruction(kernel, noise_hu), seed=3)


@pytest.mark.parametrize("kernel", ["soft", "standard", "lung", "hann"])
@pytest.mark.parametrize("noise_hu", [10.0, 25.0])
def test_noise_tells_the_kernel_that_shaped_it(kernel: str, noise_hu: float) -> None:
    spectrum = noise_spectrum(_tissue(kernel, noise_hu), 0.75)
    assert spectrum is not None
    found = spectrum.kernel(FREQUENCIES) / KERNELS[kernel](FREQUENCIES)
    assert np.all(np.abs(found - 1.0) < 0.1)


@pytest.mark.parametrize(("kernel", "error"), [("edge", 0.15), ("linear", 0.22), ("bump", 0.15)])
def test_strong_enhancement_is_found_however_it_begins(kernel: str, error: float) -> None:
    spectrum = noise_spectrum(_tissue(kernel, 10.0), 0.75)
    assert spectrum is not None
    found = spectrum.kernel(FREQUENCIES) / KERNELS[kernel](FREQUENCIES)
    assert np.all(np.abs(found - 1.0) < error)


def test_the_level_does_not_depend_on_the_kernel() -> None:
    soft, lung = (noise_spectrum(_tissue(kernel, 25.0), 0.75) for kernel in ("soft", "lung"))
    assert soft is not None
    assert lung is not None
    assert lung.level == pytest.approx(soft.level, rel=0.2)


def test_air_and_bone_tell_no_kernel() -> None:
    rng = np.random.default_rng(0)
    for hu in (-1000.0, 600.0):
        noisy = (hu + 10.0 * rng.standard_normal((8, 128, 128))).astype(np.float32)
        assert noise_spectrum(noisy, 0.75) is None


def test_an_image_smaller_than_a_patch_tells_no_kernel() -> None:
    assert noise_spectrum(np.full((4, 20, 20), 40.0, dtype=np.float32), 0.75) is None


def test_patches_are_not_chosen_by_their_own_noise() -> None:
    # Anatomy that is the same in all slices, and noise that is not: the mean power of the chosen is that of all.
    rng = np.random.default_rng(6)
    noise = gaussian_filter(rng.standard_normal((24, 192, 192)), (0, 6, 6)).astype(np.float32)
    hu = 50.0 + 8.0 * noise / noise.std()
    window = np.outer(np.hanning(34)[1:-1], np.hanning(34)[1:-1])
    y, x = np.mgrid[:32, :32] / 32 - 0.5
    basis = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1).T)[0]
    power = []
    for plane in hu:
        for row in range(0, 161, 16):
            for column in range(0, 161, 16):
                patch = plane[row : row + 32, column : column + 32].astype(np.float64).ravel()
                patch = (patch - basis @ (basis.T @ patch)).reshape(32, 32)
                power.append(np.sum((window * patch) ** 2) / np.sum(window**2) * 32**2)
    chosen = _tissue_spectra(hu).sum(axis=(1, 2))
    assert chosen.mean() == pytest.approx(np.mean(power), rel=0.1)
