"""What a scan says of its own kernel: the spectrum of its noise in soft tissue.

Filtered back-projection shapes noise as `a f K(f)^2`: a ramp, times the square of what the kernel does to the
image (Riederer, Pelc, Chesler, Phys Med Biol 1978). So the noise of a scan tells its kernel without a header, a
reference scan or a second reconstruction. On a public soft/sharp pair of one acquisition, the square root of the
ratio of both noise spectra follows their true transfer, 1.1 to 14 between 0.05 and 0.58 lp/mm, within 11 %.
Iterative reconstructions shape noise otherwise; their kernel comes out too soft, and amplification is bounded.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares

from dras_model.scores.harmonisation.edges import EdgeResponse, response_of

Array = NDArray[np.float64]

PATCH = 32  # pixels; 20 to 29 mm
STEP = 8  # pixels between patches, and the side of the blocks whose means say where tissue is even
TISSUE_HU = (0.0, 110.0)  # smoothed; fat and enhanced blood are left out
MOST_PATCHES, ENOUGH_PATCHES, LEAST_PATCHES = 600, 200, 12
EVENEST = 0.5  # of the patches are kept, those whose neighbours in z vary least
KEPT = 0.8  # of a frequency's periodograms, the lowest, so that an edge in some patches is not seen
N_BINS, N_NODES = 22, 61
LOWEST, HIGHEST = 0.07, 0.62  # lp/mm that are fitted; below lies anatomy, above a soft kernel leaves nothing
OF_NYQUIST = 0.92
KNOT_STEP = 0.06  # lp/mm between the knots of log K^2
# Spreads of the second differences of log K^2 between knots, and of its first rise from K = 1. Anatomy hides the
# rise from noise; the lungs' border shows it. Where that is not seen, a kernel that rises as f is found 20 % too
# weak, others within 9 %.
BEND_SPREAD, RISE_SPREAD, RISE_UNSEEN = 0.2, 0.8, 0.4
MISFIT = 0.02  # of a ring of average size, as a share
CHANCE = 0.45  # the same by chance, over the square root of the number of (overlapping) patches
# Power of soft tissue's own structure at 0.1 lp/mm, HU^2 mm^2, and the spread of its logarithm: 33 to 102 in
# four public series of three vendors. It falls as f^-2 and shapes the fit only where noise is low.
STRUCTURE, STRUCTURE_SPREAD = 45.0, 0.6
EDGE_SPREAD = 0.02  # of the logarithm of the border's response
BLUR_MM2, BLUR_SPREAD = (
    0.2,
    0.3,
)  # variance of the border's blur: phantoms have 0.08; motion and slanted slices add to it


@dataclass(frozen=True, slots=True)
class NoiseSpectrum:
    """The noise of soft tissue: NPS(f) = level f K(f)^2 in HU^2 mm^2, f in lp/mm, K(0) = 1."""

    level: float
    knots: tuple[float, ...]  # lp/mm, from 0 to the highest that was fitted; the kernel is held beyond
    log_squared: tuple[float, ...]  # log K^2 at the knots, 0 at the first
    n_patches: int

    def kernel(self, f: Array) -> Array:
        """Return K at f (lp/mm): 1 for an image as it is, above 1 where a kernel enhances edges."""
        knots = np.array(self.knots)
        return np.asarray(np.exp(0.5 * _spline(knots, np.minimum(f, knots[-1])) @ np.array(self.log_squared)))


def noise_spectrum(
    hu: NDArray[np.float32], pixel_mm: float, edge: EdgeResponse | None = None
) -> NoiseSpectrum | None:
    """Estimate it from a volume (z, y, x), helped by the lungs' border where that was seen.

    None where too little even soft tissue is seen.
    """
    spectra = _tissue_spectra(hu)
    if len(spectra) < LEAST_PATCHES:
        return None
    return _fit(_typical(spectra) * pixel_mm**2, pixel_mm, n_patches=len(spectra), edge=edge)


def _typical(spectra: Array) -> Array:
    """Mean (PATCH, PATCH) of exponentially distributed power (n, PATCH, PATCH), from its lowest part alone.

    The median would be as blind to patches with an edge; its variance is half as much again.
    """
    n_kept = max(1, round(KEPT * len(spectra)))
    lowest = np.partition(spectra, n_kept - 1, axis=0)[:n_kept]
    return np.asarray(lowest.mean(axis=0) / (1.0 + (1.0 - KEPT) * np.log(1.0 - KEPT) / KEPT))


def _tissue_spectra(hu: NDArray[np.float32]) -> Array:
    """Periodograms (n, PATCH, PATCH) of the evenest soft tissue, HU^2 a pixel.

    How even a place is, its neighbours in z say: chosen by its own values, a patch would have little noise at low
    frequencies (10 % less than it should), and the kernel seem to enhance what is above them.
    """
    places, unevenness = [], []
    for z in _chosen_slices(hu):
        own = _block_means(hu[z])
        size = PATCH // STEP
        if min(own.shape) < size:
            continue
        beside = np.mean([_block_means(hu[k]) for k in (z - 1, z + 1) if 0 <= k < len(hu)] or [own], axis=0)
        tissue = [(means > TISSUE_HU[0]) & (means < TISSUE_HU[1]) for means in (own, beside)]
        even = _whole_windows(tissue[0] & tissue[1], size)[::2, ::2]
        places += [(z, 2 * STEP * y, 2 * STEP * x) for y, x in np.argwhere(even)]
        unevenness += sliding_window_view(beside, (size, size))[::2, ::2][even].std(axis=(1, 2)).tolist()
    order = np.argsort(unevenness, kind="stable")[: max(ENOUGH_PATCHES, int(EVENEST * len(places)))]
    chosen = order[:: max(1, -(-len(order) // MOST_PATCHES))]
    spectra = np.empty((len(chosen), PATCH, PATCH))
    basis, window = _trend(), _window()
    for spectrum, index in zip(spectra, chosen, strict=True):
        z, y, x = places[index]
        patch = hu[z, y : y + PATCH, x : x + PATCH].astype(np.float64).ravel()
        patch -= basis @ (basis.T @ patch)
        spectrum[...] = np.abs(np.fft.fft2(patch.reshape(PATCH, PATCH) * window)) ** 2 / np.sum(window**2)
    return spectra


def _whole_windows(inside: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Which windows of size^2, one at each pixel where it fits, hold nothing else; an axis after the other."""
    rows = sliding_window_view(inside, size, axis=0).all(axis=2)
    return np.asarray(sliding_window_view(rows, size, axis=1).all(axis=2))


def _chosen_slices(hu: NDArray[np.float32], most: int = 64) -> range:
    return range(0, len(hu), max(1, -(-len(hu) // most)))


def _block_means(plane: NDArray[np.float32]) -> Array:
    rows, columns = (size // STEP * STEP for size in plane.shape)
    strips = plane[:rows, :columns].reshape(rows // STEP, STEP, columns).mean(axis=1, dtype=np.float64)
    return np.asarray(ndimage.gaussian_filter(strips.reshape(len(strips), -1, STEP).mean(axis=2), 0.5))


@lru_cache(maxsize=1)
def _window() -> Array:
    hann = np.hanning(PATCH + 2)[1:-1]
    return np.outer(hann, hann)


@lru_cache(maxsize=1)
def _trend() -> Array:
    """An orthonormal basis (PATCH^2, 6) of quadratic trends."""
    y, x = np.mgrid[:PATCH, :PATCH] / PATCH - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1)
    return np.asarray(np.linalg.qr(terms.T)[0])


@lru_cache(maxsize=1)
def _bins() -> tuple[NDArray[np.intp], Array, Array]:
    """Ring of each frequency of a patch (N_BINS where none), and the rings' mean frequency and size."""
    axis = np.fft.fftfreq(PATCH)
    f = np.hypot(axis[:, None], axis[None]).ravel()
    ring = np.minimum((f / 0.5 * N_BINS).astype(np.intp), N_BINS)
    ring[0] = N_BINS
    count = np.bincount(ring, minlength=N_BINS + 1)[:N_BINS].astype(np.float64)
    mean = np.bincount(ring, f, minlength=N_BINS + 1)[:N_BINS] / np.maximum(count, 1)
    return ring, mean, count


def _rings(spectrum: Array) -> Array:
    ring, _, count = _bins()
    return np.asarray(
        np.bincount(ring, spectrum.ravel(), minlength=N_BINS + 1)[:N_BINS] / np.maximum(count, 1)
    )


@lru_cache(maxsize=1)
def _smearing() -> tuple[Array, Array]:
    """Matrix (rings, nodes) from a spectrum at nodes to the rings that patches show, and the nodes.

    The window mixes neighbouring frequencies, so that a steep spectrum looks flat at its foot, and the trend that
    is taken off takes up to a sixth of the lowest rings: E|F W (x - B B'x)|^2 for noise x of each node's spectrum.
    """
    size = 4 * PATCH
    axis = np.fft.fftfreq(size)
    f = np.hypot(axis[:, None], axis[None])
    nodes = np.linspace(0.0, 0.75, N_NODES)
    window, basis = _window(), _trend().T.reshape(-1, PATCH, PATCH)
    correlation = np.fft.ifft2(np.abs(np.fft.fft2(window, (size, size))) ** 2).real
    transformed, shown = np.fft.fft2(basis, (size, size)), np.fft.fft2(window * basis)
    columns = []
    for node in nodes:
        hat = np.maximum(1.0 - np.abs(f - node) / nodes[1], 0.0)
        windowed = np.fft.fft2(np.fft.ifft2(hat).real * correlation).real[::4, ::4]
        coloured = np.fft.ifft2(transformed * hat).real[:, :PATCH, :PATCH]
        inner = np.tensordot(basis, coloured, ((1, 2), (1, 2)))
        both = np.tensordot(inner, shown.conj(), 1) - 2.0 * np.fft.fft2(window * coloured).conj()
        columns.append(_rings(windowed + np.sum(shown * both, axis=0).real) / np.sum(window**2))
    return np.stack(columns, axis=1), nodes


def _spline(knots: Array, f: Array) -> Array:
    """Matrix (..., knots) from values at knots to a cubic spline at f, level at 0 and straight at the end."""
    flat = np.zeros(len(knots))
    basis = CubicSpline(knots, np.eye(len(knots)), bc_type=((2, flat), (2, flat)))
    return np.asarray(basis(f))


def _fit(
    spectrum: Array, pixel_mm: float, *, n_patches: int, edge: EdgeResponse | None
) -> NoiseSpectrum | None:
    """Robust least squares on the logarithm of the rings, with priors that keep log K^2 smooth."""
    smearing, nodes = _smearing()
    _, ring_f, count = _bins()
    seen, f = _rings(spectrum), nodes / pixel_mm
    end = min(HIGHEST, OF_NYQUIST * 0.5 / pixel_mm)
    used = (ring_f / pixel_mm > LOWEST) & (ring_f / pixel_mm < end) & (seen > 0)
    if np.count_nonzero(used) < 6:
        return None
    knots = np.append(np.arange(0.0, end - KNOT_STEP / 3, KNOT_STEP), end)
    weight = (
        np.sqrt(count[used]) / np.sqrt(count[used]).mean() / np.hypot(MISFIT, CHANCE / np.sqrt(n_patches))
    )
    target, above = np.log(seen[used]), np.maximum(f, 0.03)
    spline = _spline(knots, np.minimum(f, end))[:, 1:]
    rise_spread = RISE_UNSEEN if edge is None else RISE_SPREAD
    edge_f = np.linspace(0.0, 1.0, 101)
    edge_spline = 0.5 * _spline(knots, np.minimum(edge_f, end))[:, 1:]

    def residuals(p: Array) -> Array:
        log_squared = p[3:]
        kernel = np.exp(np.clip(spline @ log_squared, -30.0, 30.0))
        power = kernel * (
            np.exp(np.clip(p[0], -30, 30)) * f + np.exp(np.clip(p[1], -9, 9)) * (above / 0.1) ** -2.0
        )
        fit = weight * (np.log(np.maximum((smearing @ power)[used], 1e-30)) - target)
        structure = (p[1] - np.log(STRUCTURE)) / STRUCTURE_SPREAD
        bends = np.diff(np.concatenate([[0.0], log_squared]), 2) / BEND_SPREAD
        step = np.zeros(0)
        if edge is not None:
            blurred = np.exp(
                np.clip(edge_spline @ log_squared - 2.0 * np.pi**2 * p[2] * edge_f**2, -30.0, 9.0)
            )
            step = (response_of(blurred, edge_f) - edge.response) / (EDGE_SPREAD * edge.response)
        blur = (p[2] - BLUR_MM2) / BLUR_SPREAD
        return np.concatenate([fit, step, [structure, blur, 2.0 * p[3] / rise_spread], bends])

    ramp = np.log(seen[used] / ring_f[used] * pixel_mm)
    level = float(np.mean(ramp[:4]))
    start = [level, np.log(STRUCTURE), BLUR_MM2]
    flat = np.zeros(len(knots) - 1)
    risen = np.interp(knots[1:], ring_f[used] / pixel_mm, ramp - level)
    # From a flat kernel alone, one that ends within the fitted frequencies was now and then taken for structure.
    fits = [least_squares(residuals, np.append(start, kernel), loss="soft_l1") for kernel in (flat, risen)]
    best = min(fits, key=lambda fit: float(fit.cost)).x
    values = (0.0, *map(float, best[3:]))
    return NoiseSpectrum(float(np.exp(best[0])), tuple(map(float, knots)), values, n_patches)
