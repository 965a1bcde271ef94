"""The lung at the reference kernel, as a coarse level and its detail: filtering in the plane, smoothing along z.

The reference is the soft kernel of published densitometry as physics gives it, a Gaussian of half its contrast
at 0.35 lp/mm; no scan was used to choose it. What a scan's own kernel keeps above it is damped to it; a softer scan
stays as soft as it is. Works a few slices at a time within the lungs' box, and keeps values of lung voxels alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from dras_model.imaging.parallel import each_slab
from dras_model.imaging.volume import Spacing
from dras_model.scores.harmonisation.floor import Floor
from dras_model.scores.harmonisation.spectrum import NoiseSpectrum

Array = NDArray[np.float64]
Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

REFERENCE_HALF = 0.35  # lp/mm at which the reference kernel keeps half the contrast
MOST_GAIN = 1.0  # noise that something else has smoothed would be taken for a soft kernel and edges be raised
# Gaussian deviation of the coarse level: of 0.8, 0.9 and 1.0 mm the first keeps most of 1 % at 25 HU of noise. A
# second band, of 0.8 to 1.6 mm, changed no cell of the phantoms by more than 3 %.
SCALE_MM = 0.8
LEAST_ALONG = 0.4  # of a slice; a narrower Gaussian smooths nothing
FLOOR_MEAN_MM = 0.6  # deviation of the means by which values at the floor are judged
LOWEST_HU, HIGHEST_HU = (
    -1200.0,
    1500.0,
)  # metal would ring into the lung; vessels reach 600 under a sharp kernel
MARGIN = 16  # pixels around the lungs
BLOCK = 8  # pixels a side, in which noise is measured
BLOCKS_APART_MM = 4.0  # of the slices in which it is
CHUNK = 12  # slices that are smoothed along z together
LUNG_HU = -700.0  # smoothed; denser blocks hold vessels
GAUSSIAN_REACH = 3.5  # deviations


def reference_kernel(f: Array) -> Array:
    """Return the reference kernel at f (lp/mm)."""
    return np.asarray(np.exp(-np.log(2.0) * (f / REFERENCE_HALF) ** 2))


def gain(spectrum: NoiseSpectrum, f: Array) -> Array:
    """Return the factor that brings a scan to the reference kernel, at f (lp/mm)."""
    return np.minimum(reference_kernel(f) / spectrum.kernel(f), MOST_GAIN)


@dataclass(frozen=True, slots=True)
class BandNoise:
    """Deviations of noise, HU: of the detail, and of detail and coarse level together.

    What both share goes with the coarse level: `alone_hu` is the noise of the detail where the coarse level is
    known, `left_hu` what the sum still has when that is gone.
    """

    detail_hu: float
    total_hu: float
    alone_hu: float
    left_hu: float


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Lung voxels in the order of the grid: the `coarse` level and the `detail` on it.

    `starts` (slices + 1) says where each slice begins. `noise` is that of soft tissue. `block_hu` are deviations of
    the detail in small blocks of lung, with the slice each lies in.
    """

    coarse: Values
    detail: Values
    starts: NDArray[np.intp]
    noise: BandNoise
    block_hu: Values
    block_slice: NDArray[np.intp]


def split_bands(
    hu: Values, lung: Mask, spectrum: NoiseSpectrum, *, spacing_mm: Spacing, floor: Floor | None
) -> Bands:
    """Split a box of a scan (z, y, x) at the reference kernel; `lung` marks the voxels that are kept."""
    starts = np.concatenate([[0], np.cumsum([np.count_nonzero(plane) for plane in lung])])
    coarse, detail = (np.empty(int(starts[-1]), dtype=np.float32) for _ in range(2))
    found: list[tuple[Values, NDArray[np.intp]]] = []
    apart = max(1, round(BLOCKS_APART_MM / spacing_mm[0]))
    filtered = _plane_filter(hu, spectrum, spacing_mm=spacing_mm, floor=floor)

    def work(slab: slice) -> None:
        for chunk, low, fine in _chunks(filtered, slab, hu.shape, along=_along(spacing_mm[0])):
            inside = lung[chunk]
            own = slice(starts[chunk.start], starts[chunk.stop])
            coarse[own] = low[inside]
            detail[own] = fine[inside]
            detail[own] -= coarse[own]
            measured = slice(-chunk.start % apart, None, apart)
            deviation, index = _block_deviations(low[measured], fine[measured], inside[measured])
            found.append((deviation, chunk.start + measured.start + apart * index))

    each_slab(work, len(hu), least=2 * CHUNK)
    found.sort(key=lambda pair: int(pair[1][0]) if len(pair[1]) else 0)
    return Bands(
        coarse=coarse,
        detail=detail,
        starts=starts,
        noise=_noise(spectrum, spacing_mm),
        block_hu=np.concatenate([hu for hu, _ in found]),
        block_slice=np.concatenate([z for _, z in found]),
    )


def _along(slice_mm: float) -> float:
    """Deviation of the coarse level's smoothing along z, in slices; none where slices are too thick for it."""
    width = SCALE_MM / slice_mm
    return width if width > LEAST_ALONG else 0.0


def _plane_filter(
    hu: Values, spectrum: NoiseSpectrum, *, spacing_mm: Spacing, floor: Floor | None
) -> Callable[[int], tuple[Values, Values]]:
    """Return a function from a slice's index to its coarse level and the whole (y, x), at the reference kernel."""
    slice_mm, _, pixel_mm = spacing_mm
    size = hu.shape[1:]
    shape = tuple(scipy.fft.next_fast_len(pixels, real=True) for pixels in size)
    f = np.hypot(scipy.fft.fftfreq(shape[0], pixel_mm)[:, None], scipy.fft.rfftfreq(shape[1], pixel_mm))
    passed = gain(spectrum, f)
    filters = [weights.astype(np.float32) for weights in (passed * _gaussian(f, SCALE_MM), passed)]

    def levels(z: int) -> tuple[Values, Values]:
        plane = np.empty(shape, dtype=np.float32)
        own = plane[: size[0], : size[1]]
        np.clip(hu[z], LOWEST_HU, HIGHEST_HU, out=own)
        if floor is not None:
            means = _local_means(hu[max(z - 1, 0) : z + 2], z - max(z - 1, 0), slice_mm, pixel_mm)
            own[:] = floor.lift(own, means)
        # Continued by its far edges to a size that transforms fast; its sides lie MARGIN off the lungs.
        plane[: size[0], size[1] :] = own[:, -1:]
        plane[size[0] :] = plane[size[0] - 1]
        transform = scipy.fft.rfft2(plane, overwrite_x=True)
        low, fine = (scipy.fft.irfft2(transform * weights, shape, overwrite_x=True) for weights in filters)
        return low[: size[0], : size[1]], fine[: size[0], : size[1]]

    return levels


def _local_means(slices: Values, own: int, slice_mm: float, pixel_mm: float) -> Values:
    """Smooth slice `own` (y, x) by three values along each axis; a missing neighbour is the slice itself."""
    along, across = (min(0.5 * (FLOOR_MEAN_MM / mm) ** 2, 1.0 / 3.0) for mm in (slice_mm, pixel_mm))
    sides = slices[max(own - 1, 0)] + slices[min(own + 1, len(slices) - 1)]
    plane = slices[own] * np.float32(1.0 - 2.0 * along) + sides * np.float32(along)
    for _ in range(2):
        smooth = plane * np.float32(1.0 - 2.0 * across)
        smooth[1:-1] += np.float32(across) * (plane[:-2] + plane[2:])
        smooth[[0, -1]] = plane[[0, -1]]
        plane = smooth.T
    return np.asarray(plane)


def _chunks(
    filtered: Callable[[int], tuple[Values, Values]], slab: slice, shape: tuple[int, ...], *, along: float
) -> Iterator[tuple[slice, Values, Values]]:
    """Yield a few slices of a slab at a time, the coarse level smoothed along z; each is filtered once a slab."""
    reach = int(np.ceil(GAUSSIAN_REACH * along))
    done = first = max(slab.start - reach, 0)
    held = np.empty((2, CHUNK + 2 * reach, *shape[1:]), dtype=np.float32)
    for start in range(slab.start, slab.stop, CHUNK):
        stop = min(start + CHUNK, slab.stop)
        begin, end = max(start - reach, 0), min(stop + reach, shape[0])
        held[:, : done - begin] = held[:, begin - first : done - first].copy()
        for z in range(done, end):
            held[0, z - begin], held[1, z - begin] = filtered(z)
        done, first = end, begin
        own = slice(start - begin, stop - begin)
        yield slice(start, stop), _smooth_along(held[0, : end - begin], along, own), held[1, own]


def _gaussian(f: Array, sigma_mm: float) -> Array:
    return np.asarray(np.exp(-2.0 * (np.pi * sigma_mm * f) ** 2))


def _smooth_along(level: Values, width: float, own: slice) -> Values:
    """Smooth along z by a Gaussian of `width` slices, edges repeated, and keep the slices `own`."""
    if width == 0.0:
        return level[own]
    rows, columns = np.arange(own.start, own.stop), np.arange(len(level))
    weights = np.exp(-0.5 * ((rows[:, None] - columns) / width) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    smoothed = weights.astype(np.float32) @ level.reshape(len(level), -1)
    return np.asarray(smoothed.reshape(len(rows), *level.shape[1:]))


def whole_blocks(inside: Mask) -> Mask:
    """Which blocks (z, rows, columns) of BLOCK^2 pixels are lung alone."""
    slices, rows, columns = len(inside), *(size // BLOCK for size in inside.shape[1:])
    cut = inside[:, : rows * BLOCK, : columns * BLOCK].reshape(slices, rows, BLOCK, columns * BLOCK)
    strips = cut.all(axis=2)  # row by row first: eight times as fast as both axes at once
    return np.asarray(strips.reshape(slices, rows, columns, BLOCK).all(axis=3))


def block_values(values: Values, whole: Mask) -> Values:
    """Return the pixels (n, BLOCK, BLOCK) of each of the `whole` blocks of `values` (z, y, x)."""
    rows, columns = whole.shape[1:]
    cut = values[:, : rows * BLOCK, : columns * BLOCK].reshape(len(values), rows, BLOCK, columns, BLOCK)
    return np.asarray(np.moveaxis(cut, 2, 3)[whole])


def _block_deviations(coarse: Values, fine: Values, inside: Mask) -> tuple[Values, NDArray[np.intp]]:
    """Deviation of the detail in each block of mere parenchyma, and the slice it lies in."""
    whole = whole_blocks(inside)
    low = block_values(coarse, whole)
    thin = low.mean(axis=(1, 2)) < LUNG_HU
    detail = block_values(fine, whole)[thin] - low[thin]
    return detail.std(axis=(1, 2)), np.nonzero(whole)[0][thin]


def _noise(spectrum: NoiseSpectrum, spacing_mm: Spacing, size: int = 192) -> BandNoise:
    """Foretell the noise in soft tissue; slices are independent."""
    pixel_mm = spacing_mm[2]
    axis = np.fft.fftfreq(size, pixel_mm)
    f = np.hypot(axis[:, None], axis[None])
    power = spectrum.level * f * (spectrum.kernel(f) * gain(spectrum, f)) ** 2 / pixel_mm**2
    z = np.fft.fftfreq(32)[:, None, None]
    passed = _gaussian(f, SCALE_MM) * np.exp(-2.0 * (np.pi * _along(spacing_mm[0]) * z) ** 2)
    coarse, shared, detail = (
        float(np.mean(power * p)) for p in (passed**2, passed * (1 - passed), (1 - passed) ** 2)
    )
    follows = shared / coarse  # the detail's noise, for one HU of the coarse level's
    return BandNoise(
        detail_hu=detail**0.5,
        total_hu=float(power.mean()) ** 0.5,
        alone_hu=max(detail - follows * shared, 0.0) ** 0.5,
        left_hu=(1.0 + follows) * coarse**0.5,
    )


def raw_noise_hu(spectrum: NoiseSpectrum, pixel_mm: float, size: int = 192) -> float:
    """Deviation of the scan's own noise in soft tissue."""
    axis = np.fft.fftfreq(size, pixel_mm)
    f = np.hypot(axis[:, None], axis[None])
    return float(np.sqrt(np.mean(spectrum.level * f * spectrum.kernel(f) ** 2)) / pixel_mm)
