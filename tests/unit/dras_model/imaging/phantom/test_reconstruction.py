import numpy as np
import pytest

from dras_model.imaging.phantom.reconstruction import KERNELS, Reconstruction, blurred, reconstruct

PIXEL_MM = 0.75


def _air(kernel: str, noise_hu: float, **how: object) -> np.ndarray:
    flat = np.full((6, 256, 256), -700.0)
    return reconstruct(flat, PIXEL_MM, Reconstruction(kernel, noise_hu, **how), seed=2) + 700.0


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_noise_has_the_spectrum_of_a_ramp_times_the_kernel_squared(kernel: str) -> None:
    middle = _air(kernel, 20.0)[:, 64:192, 64:192]
    window = np.outer(np.hanning(128), np.hanning(128))
    power = np.mean(np.abs(np.fft.fft2(middle * window)) ** 2, axis=0)
    axis = np.fft.fftfreq(128, PIXEL_MM)
    f = np.hypot(axis[:, None], axis[None])
    rings = [(f > low) & (f < low + 0.05) for low in (0.1, 0.2, 0.3, 0.4)]
    # The window lets a steep spectrum leak into its foot, hence the tolerance; the spectra differ by up to 50.
    ratios = [power[ring].mean() / np.mean(f[ring] * KERNELS[kernel](f[ring]) ** 2) for ring in rings]
    np.testing.assert_allclose(ratios, np.mean(ratios), rtol=0.25)


def test_the_soft_kernels_noise_is_what_was_asked_and_a_sharp_one_has_more() -> None:
    soft, lung = (_air(kernel, 20.0)[:, 96:160, 96:160].std() for kernel in ("soft", "lung"))
    assert soft == pytest.approx(20.0 * 1.125, rel=0.05)  # the middle of the field has an eighth more
    assert lung > 4 * soft


def test_slices_that_share_rays_share_their_noise() -> None:
    alone, shared = (_air("soft", 20.0, overlap=n) for n in (1, 2))
    for scan, expected in ((alone, 0.0), (shared, 0.5)):
        found = np.corrcoef(scan[0].ravel(), scan[1].ravel())[0, 1]
        assert found == pytest.approx(expected, abs=0.03)
    assert shared.std() == pytest.approx(alone.std(), rel=0.03)


def test_an_enhancing_kernel_overshoots_at_an_edge_and_a_soft_one_does_not() -> None:
    edge = np.full((1, 64, 64), -900.0)
    edge[..., 32:] = -500.0
    for kernel, overshoots in (("soft", False), ("lung", True)):
        assert (blurred(edge, PIXEL_MM, KERNELS[kernel]).max() > -499.0) == overshoots


def test_values_end_at_the_floor_unless_it_is_taken_away() -> None:
    air = np.full((1, 64, 64), -1000.0)
    assert reconstruct(air, PIXEL_MM, Reconstruction("lung", 30.0)).min() == -1024.0
    assert reconstruct(air, PIXEL_MM, Reconstruction("lung", 30.0, floor=False)).min() < -1100.0
