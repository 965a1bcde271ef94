import numpy as np
import pytest

from dras_model.imaging.phantom.scan import scan_slice
from dras_model.imaging.phantom.spec import Kernel


@pytest.mark.parametrize("kernel", list(Kernel))
def test_noise_of_either_kernel_has_the_asked_deviation(kernel: Kernel) -> None:
    flat = np.full((300, 300), 40.0, dtype=np.float32)
    noisy = scan_slice(flat, kernel=kernel, noise_hu=30.0, rng=np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(40.0, abs=0.5)
    assert noisy[2:-2, 2:-2].std() == pytest.approx(30.0, rel=0.02)


def test_a_sharp_kernel_overshoots_at_an_edge_and_a_soft_one_does_not() -> None:
    edge = np.full((20, 20), -900.0, dtype=np.float32)
    edge[:, 10:] = 50.0
    rng = np.random.default_rng(0)
    assert scan_slice(edge, kernel=Kernel.SHARP, noise_hu=0.0, rng=rng).max() > 100
    assert np.array_equal(scan_slice(edge, kernel=Kernel.SOFT, noise_hu=0.0, rng=rng), edge)
