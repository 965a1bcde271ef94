"""A scanner by the physics of filtered back-projection: one kernel shapes anatomy and, with the ramp, noise.

For what `scan` is too plain for: how densitometry and its harmonisation answer to kernels. Noise has the spectrum
`f K(f)^2` (Riederer, Pelc, Chesler, Phys Med Biol 1978), is stronger in the middle of the body than at its rim, and
is shared by slices that overlap. Streaks, iterative reconstruction and the focal spot are left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from dras_model.imaging.parallel import each_slab
from dras_model.imaging.phantom.scan import HIGHEST_HU, LOWEST_HU

Array = NDArray[np.float64]
Image = NDArray[np.float32]
KernelCurve = Callable[[Array], Array]

PAD = 32  # pixels of repeated edge, so that the period of the transform is not seen
RIM_MM, RIM_SHARE = 180.0, 0.25  # noise changes by this share from the middle to the rim
TISSUE_HU = (0.0, 100.0)
# Muscle, fat planes and organs are uneven with a power of about 45 (f / 0.1)^-2 HU^2 mm^2 in public scans.
UNEVENNESS, UNEVENNESS_LOWEST = 45.0, 0.02

# K(f), f in lp/mm, K(0) = 1: roll-offs as published curves have them, and two ways to enhance edges.
KERNELS: Mapping[str, KernelCurve] = MappingProxyType(
    {
        "soft": lambda f: np.exp(-np.log(2.0) * (f / 0.34) ** 2),
        "standard": lambda f: np.exp(-np.log(2.0) * (f / 0.42) ** 3),
        "lung": lambda f: (1.0 + 6.0 * f**2) * np.exp(-((f / 0.62) ** 4)),
        "edge": lambda f: (1.0 + 30.0 * f**2) * np.exp(-((f / 0.52) ** 4)),
        "hann": lambda f: 0.5 * (1.0 + np.cos(np.pi * np.minimum(f / 0.68, 1.0))),
        "linear": lambda f: (1.0 + 3.0 * f) * np.exp(-((f / 0.55) ** 4)),
        "bump": lambda f: (1.0 + 0.35 * np.exp(-(((f - 0.3) / 0.12) ** 2))) * np.exp(-((f / 0.7) ** 6)),
        # Held out: they had no part in making the harmonisation, and were first tried when it was finished.
        "cosine": lambda f: (1.0 + 2.2 * f**1.5) * np.cos(0.5 * np.pi * np.minimum(f / 0.72, 1.0)),
        "two-peak": lambda f: (
            (1.0 + 0.25 * np.exp(-(((f - 0.2) / 0.08) ** 2)) + 0.4 * np.exp(-(((f - 0.42) / 0.09) ** 2)))
            * np.exp(-((f / 0.66) ** 5))
        ),
    }
)
HELD_OUT = ("cosine", "two-peak")


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """`noise_hu` is the deviation that the "soft" kernel gives these rays; a sharper kernel gives them more.

    `overlap` is the number of slices that share a ray. `floor` says whether values end at twelve bits.
    """

    kernel: str = "soft"
    noise_hu: float = 10.0
    overlap: int = 1
    floor: bool = True


def reconstruct(exact: NDArray[np.generic], pixel_mm: float, how: Reconstruction, *, seed: int = 0) -> Image:
    """Return the scan (z, y, x) of noise-free Hounsfield units (z, y, x), whole HU."""
    shape = tuple(scipy.fft.next_fast_len(size + 2 * PAD, real=True) for size in exact.shape[1:])
    curve = KERNELS[how.kernel]
    f = np.hypot(scipy.fft.fftfreq(shape[0], pixel_mm)[:, None], scipy.fft.rfftfreq(shape[1], pixel_mm))
    anatomy = curve(f).astype(np.float32)
    rays = (np.sqrt(f) * curve(f)).astype(np.float32) * np.float32(how.noise_hu / _soft_deviation(pixel_mm))
    uneven = (np.sqrt(UNEVENNESS) / pixel_mm * 0.1 / np.maximum(f, UNEVENNESS_LOWEST)).astype(np.float32)
    strength = _strength(exact.shape[1:], pixel_mm)
    scanned = np.empty(exact.shape, dtype=np.float32)

    def work(slab: slice) -> None:
        for z in range(slab.start, slab.stop):
            plane = np.asarray(exact[z], dtype=np.float32)
            tissue = (plane > TISSUE_HU[0]) & (plane < TISSUE_HU[1])
            rng = np.random.default_rng([seed, 6, z])
            grain = _filtered(rng.standard_normal(shape, dtype=np.float32), uneven, plane.shape)
            scan = _filtered(_padded(plane + grain * tissue, shape), anatomy, plane.shape)
            if how.noise_hu > 0:
                white = sum(_white(seed, z + k, shape) for k in range(how.overlap)) / np.sqrt(how.overlap)
                scan += strength * _filtered(np.asarray(white, dtype=np.float32), rays, plane.shape)
            scanned[z] = np.rint(scan)

    each_slab(work, len(exact))
    return scanned.clip(LOWEST_HU, HIGHEST_HU) if how.floor else scanned


def blurred(exact: NDArray[np.generic], pixel_mm: float, curve: KernelCurve) -> Image:
    """Return what a kernel makes of noise-free Hounsfield units (z, y, x), in fractions of HU: a truth."""
    shape = tuple(scipy.fft.next_fast_len(size + 2 * PAD, real=True) for size in exact.shape[1:])
    f = np.hypot(scipy.fft.fftfreq(shape[0], pixel_mm)[:, None], scipy.fft.rfftfreq(shape[1], pixel_mm))
    weights = np.asarray(curve(f), dtype=np.float32)
    planes = (np.asarray(plane, dtype=np.float32) for plane in exact)
    return np.stack([_filtered(_padded(plane, shape), weights, plane.shape) for plane in planes])


def _soft_deviation(pixel_mm: float, size: int = 512) -> float:
    """Deviation of the soft kernel's noise for rays of unit strength."""
    axis = np.fft.fftfreq(size, pixel_mm)
    f = np.hypot(axis[:, None], axis[None])
    return float(np.sqrt(np.mean(f * KERNELS["soft"](f) ** 2)))


def _strength(shape: tuple[int, ...], pixel_mm: float) -> Image:
    """How strong noise is at each pixel (y, x) against its mean over the body."""
    y, x = (pixel_mm * (np.arange(size) - size / 2) / RIM_MM for size in shape)
    distance = y[:, None] ** 2 + x**2
    return np.asarray(1.0 + RIM_SHARE * np.clip(0.5 - distance, -1.0, 1.0), dtype=np.float32)


def _white(seed: int, z: int, shape: tuple[int, ...]) -> Image:
    return np.random.default_rng([seed, 7, z]).standard_normal(shape, dtype=np.float32)


def _padded(plane: Image, shape: tuple[int, ...]) -> Image:
    rows, columns = ((PAD, size - own - PAD) for size, own in zip(shape, plane.shape, strict=True))
    return np.asarray(np.pad(plane, (rows, columns), mode="edge"))


def _filtered(plane: Image, weights: Image, shape: tuple[int, ...]) -> Image:
    """Filter a padded plane and cut the pad off."""
    whole = scipy.fft.irfft2(scipy.fft.rfft2(plane) * weights, plane.shape)
    return np.asarray(whole[PAD : PAD + shape[0], PAD : PAD + shape[1]], dtype=np.float32)
