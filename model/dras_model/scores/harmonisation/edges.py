"""What a scan says of its own kernel at low frequencies: the step from lung to chest wall.

Noise does not tell a kernel below about 0.1 lp/mm, where tissue's own structure hides it, and so does not tell how
far the kernel enhances anything against a contrast of wide extent. The border of the lung does: it is a step of 900
HU, seen at thousands of places, and its mean profile holds overshoot and undershoot within millimetres of it. The
Fourier transform of the profile's derivative is the kernel itself (Judy, Med Phys 1976), whatever the step. Medians
are taken, so that neither noise nor the floor of stored values nor a vessel here and there is seen. High
frequencies are left to the noise: motion, slant through a slice and the way it is located blur the border.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.volume import Spacing

Array = NDArray[np.float64]
Image = NDArray[np.float32]

FREQUENCIES = (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24, 0.27)  # lp/mm
BORDER_HU = -430.0  # half-way from lung to muscle, where a symmetric kernel leaves the border
REACH_MM, STEP_MM = 7.0, 0.5  # of the profile
LEVEL_BINS = 4  # at each end, whose mean is the level of lung and of tissue
SMOOTH_MM = 1.0  # of the image in which the border is sought
# At these distances to either side lung and soft tissue must be even, so that the profile ends on two plateaus.
PLATEAU_MM = (3.0, 4.5, 6.0, 7.5)
LUNG_HU, TISSUE_HU = -700.0, (-20.0, 120.0)
LUNG_SPREAD_HU = 70.0  # about the slice's median: holes beside the pleura are no plateau, nor is a vessel
MOST_SLANT_MM = 1.0  # by which the border moves from a slice to the next
LEAST_AREA_MM2 = 300.0  # of lung in a slice
LEAST_POINTS = 300
MOST_SLICES = 16


_F = np.array(FREQUENCIES)
_MIDDLE = STEP_MM * np.arange(0.5 - REACH_MM / STEP_MM, REACH_MM / STEP_MM)


@dataclass(frozen=True, slots=True, eq=False)
class EdgeResponse:
    """`response` (n,) at FREQUENCIES: K, times the blur of the border, of a profile of finite length."""

    response: Array
    n_points: int


def edge_response(hu: Image, lung: NDArray[np.bool_], spacing_mm: Spacing) -> EdgeResponse | None:
    """Measure it on a volume (z, y, x) with its lungs; None where too little even border is seen."""
    apart = max(1, -(-len(hu) // MOST_SLICES))
    found = [_profiles(hu, lung, z, spacing_mm) for z in range(apart // 2, len(hu), apart)]
    n_points = sum(n for _, _, n in found)
    if n_points < LEAST_POINTS:
        return None
    distance, values = (np.concatenate([each[i] for each in found]) for i in (0, 1))
    profile = _median_profile(distance, values)
    if profile is None:
        return None
    return EdgeResponse(_transformed(_above_floor(profile, float(values.min()))), n_points)


def _profiles(hu: Image, lung: NDArray[np.bool_], z: int, spacing_mm: Spacing) -> tuple[Image, Image, int]:
    """Signed distances (mm, positive in tissue) and HU of the pixels across the border of slice z; its points."""
    pixel_mm = spacing_mm[2]
    none = np.zeros(0, dtype=np.float32)
    if np.count_nonzero(lung[z]) * pixel_mm**2 < LEAST_AREA_MM2:
        return none, none, 0
    smooth = ndimage.gaussian_filter(hu[z], SMOOTH_MM / pixel_mm, truncate=3.0)
    points = _border(smooth, lung[z])
    steep, normal = _gradient(smooth, points)
    offset = (BORDER_HU - smooth[*points.T]) / steep  # pixels along the normal
    even = _between_plateaus(smooth, points, normal, offset, pixel_mm=pixel_mm)
    even &= _upright(hu, z, points, steep * (MOST_SLANT_MM / pixel_mm))
    points, normal, offset = points[even], normal[even], offset[even]
    along = np.arange(-REACH_MM - STEP_MM, REACH_MM + 1.5 * STEP_MM, STEP_MM) / pixel_mm
    at = _pixels(points, normal, offset, along, smooth.shape)
    distance = np.einsum("pkc,pc->pk", at - points[:, None], normal) - offset[:, None]
    return (
        (pixel_mm * distance).ravel().astype(np.float32),
        hu[z][at[..., 0], at[..., 1]].ravel(),
        len(points),
    )


def _border(smooth: Image, lung: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Pixels (n, 2) of aerated lung beside what is not, at the outer border of the lungs."""
    air = (smooth < BORDER_HU) & ndimage.binary_dilation(lung, iterations=3)
    inner = ndimage.binary_erosion(ndimage.binary_fill_holes(air))
    border = (air & ~inner)[1:-1, 1:-1]  # a gradient needs neighbours
    return np.argwhere(border) + 1


def _gradient(smooth: Image, points: NDArray[np.intp]) -> tuple[Array, Array]:
    """Its size (n,), HU a pixel, and direction (n, 2) at inner pixels."""
    y, x = points.T
    gradient = (
        np.stack([smooth[y + 1, x] - smooth[y - 1, x], smooth[y, x + 1] - smooth[y, x - 1]], axis=1) / 2.0
    )
    size = np.maximum(np.hypot(*gradient.T), 1.0).astype(np.float64)
    return size, gradient / size[:, None]


def _pixels(
    points: NDArray[np.intp], normal: Array, offset: Array, along: Array, shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Nearest pixels (n, k, 2) to distances `along` (k,), in pixels, from the border along each normal."""
    at = points[:, None] + (offset[:, None] + along)[..., None] * normal[:, None]
    return np.rint(at).astype(np.intp).clip(0, np.array(shape) - 1)


def _between_plateaus(
    smooth: Image, points: NDArray[np.intp], normal: Array, offset: Array, *, pixel_mm: float
) -> NDArray[np.bool_]:
    """Which points (n,) have even lung on one side and even soft tissue on the other."""
    away = np.array(PLATEAU_MM) / pixel_mm
    inside, outside = (
        smooth[*np.moveaxis(_pixels(points, normal, offset, side * away, smooth.shape), -1, 0)]
        for side in (-1, 1)
    )
    if len(points) == 0:
        return np.zeros(0, dtype=np.bool_)
    usual = np.abs(inside - np.median(inside, axis=0)) < LUNG_SPREAD_HU
    tissue = (outside > TISSUE_HU[0]) & (outside < TISSUE_HU[1])
    return np.asarray((usual & (inside < LUNG_HU) & tissue).all(axis=1))


def _upright(hu: Image, z: int, points: NDArray[np.intp], most_hu: Array) -> NDArray[np.bool_]:
    """Which points (n,) change by no more than `most_hu` (n,) a slice: a slanted border is blurred."""
    y, x = points.T
    low, high = max(z - 1, 0), min(z + 1, len(hu) - 1)
    change = sum(
        (hu[high, y + i, x + j] - hu[low, y + i, x + j] for i in (-1, 0, 1) for j in (-1, 0, 1)),
        start=np.zeros(len(points)),
    )
    return np.asarray(np.abs(change) / 9.0 <= (high - low) * most_hu)


def _median_profile(distance: Image, hu: Image) -> Array | None:
    """Median HU (k,) at distances from -REACH_MM to REACH_MM, STEP_MM apart."""
    n_bins = 2 * round(REACH_MM / STEP_MM) + 1
    index = np.floor((distance + REACH_MM) / STEP_MM + 0.5).astype(np.intp)
    order = np.argsort(index, kind="stable")
    index, hu = index[order], hu[order]
    ends = np.searchsorted(index, np.arange(n_bins + 1))
    parts = [hu[a:b] for a, b in pairwise(ends)]
    if min(len(part) for part in parts) < LEAST_POINTS // 4:
        return None
    return np.array([np.median(part) for part in parts])


def _above_floor(profile: Array, lowest: float) -> Array:
    """Give back the undershoot of lung (k,) that the lowest value cut, as the overshoot of tissue shows it."""
    ends = [float(side.mean()) for side in (profile[:LEVEL_BINS], profile[-LEVEL_BINS:])]
    mirrored = sum(ends) - profile[::-1]
    cut = profile <= lowest + 1.0
    return np.where(cut, np.minimum(profile, mirrored), profile)


def _transformed(profile: Array) -> Array:
    """Size (n,) of the Fourier transform of a profile's derivative, over that at frequency 0."""
    slope = np.diff(profile)
    return np.asarray(np.abs(np.exp(-2j * np.pi * _F[:, None] * _MIDDLE) @ slope) / slope.sum())


def response_of(kernel: Array, f: Array) -> Array:
    """What `edge_response` finds (n,) for a `kernel` (k,) given at evenly spaced f (k,) in lp/mm, from 0.

    The profile ends at REACH_MM: a kernel that rises steeply at low frequencies has a response that reaches beyond.
    """
    spread = _spreading(tuple(map(float, f))) @ kernel
    return np.asarray(np.cos(2.0 * np.pi * np.outer(_F, _MIDDLE)) @ spread / spread.sum())


@lru_cache(maxsize=4)
def _spreading(f: tuple[float, ...]) -> Array:
    """Matrix from a kernel at f to the slope of its profile at _MIDDLE, up to a factor."""
    at = np.array(f)
    weights = np.sinc(at * STEP_MM) ** 2
    weights[[0, -1]] *= 0.5  # of the trapezoidal rule
    return np.asarray(np.cos(2.0 * np.pi * np.outer(_MIDDLE, at)) * weights)
