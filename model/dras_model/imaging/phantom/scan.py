"""The scanner: noise and the kernel that shapes it. What is scanned is drawn elsewhere."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from dras_model.imaging.phantom.spec import Kernel

LOWEST_HU, HIGHEST_HU = -1024, 3071  # twelve bits
SMOOTH = np.array([0.25, 0.5, 0.25], dtype=np.float32)
SHARPEN = np.array([-0.15, 1.3, -0.15], dtype=np.float32)


def scan_slice(
    hu: NDArray[np.float32], *, kernel: Kernel, noise_hu: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return one slice (y, x) as stored: sharpened by a sharp kernel, noisy, whole HU of twelve bits."""
    if kernel is Kernel.SHARP:
        hu = _both_axes(hu, SHARPEN)
    if noise_hu > 0:
        white = rng.standard_normal(hu.shape, dtype=np.float32)
        weights = SMOOTH if kernel is Kernel.SOFT else SHARPEN
        hu = hu + _both_axes(white, weights) * np.float32(noise_hu / float(np.sum(weights**2)))
    return np.rint(hu).clip(LOWEST_HU, HIGHEST_HU)


def _both_axes(plane: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    first = correlate1d(plane, weights, axis=0, mode="nearest")
    return np.asarray(correlate1d(first, weights, axis=1, mode="nearest"), dtype=np.float32)
