"""The lung at the reference kernel, in bands of detail: filtering in the plane, smoothing in three dimensions.

The reference is the soft kernel of published densitometry as physics gives it, a Gaussian of half its contrast
at 0.35 lp/mm; no scan was used to choose it. What a scan's own kernel keeps above it is damped to it; a softer scan
stays as soft as it is. Works a few slices at a time within the lungs' box, and keeps values of lung voxels alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

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
# Gaussian deviations that part the bands. A third at 3.2 mm held 0.6 of 10 HU of noise, and changed nothing.
SCALES_MM = (1.6, 0.8)
MOST_ALONG_MM = 2.4  # smoothing along z, whatever the scale
LEAST_ALONG = 0.4  # of a slice; a narrower Gaussian smooths nothing
FLOOR_MEAN_MM = 0.6  # deviation of the means by which values at the floor are judged
LOWEST_HU, HIGHEST_HU = -1200.0, 300.0  # metal and bone would ring into the lung
MARGIN = 16  # pixels around the lungs
BLOCK = 8  # pixels a side, in which noise is measured
BLOCKS_APART_MM = 2.0  # of the slices in which it is
CHUNK = 12  # slices that are smoothed along z together
LUNG_HU = -700.0  # smoothed; denser blocks hold vessels
GAUSSIAN_REACH = 3.5  # deviations


def reference_kernel(f: Array) -> Array:
    """Return the reference kernel at f (lp/mm)."""
    return np.asarray(np.exp(-np.log(2.0) * (f / REFERENCE_HALF) ** 2))


def gain(spectrum: NoiseSpectrum, f: Array) -> Array:
    """Return the factor that brings a scan to the reference kernel, at f (lp/mm)."""
    return np.minimum(reference_kernel(f) / spectrum.kernel(f), MOST_GAIN)


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Lung voxels in the order of the grid: the `coarse` level, and the `details` from coarse to fine.

    `starts` (slices + 1) says where each slice begins. `noise_hu` is the noise of each detail and `total_hu` of
    all together, for soft tissue. `block_hu` are deviations of the finest detail in small blocks of lung, with
    the slice each lies in.
    """

    coarse: Values
    details: tuple[Values, ...]
    starts: NDArray[np.intp]
    noise_hu: tuple[float, ...]
    total_hu: float
    block_hu: Values
    block_slice: NDArray[np.intp]


def split_bands(
    hu: Values, lung: Mask, spectrum: NoiseSpectrum, *, spacing_mm: Spacing, floor: Floor | None
) -> Bands:
    """Split a box of a scan (z, y, x) at the reference kernel; `lung` marks the voxels that are kept."""
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(lung, axis=(1, 2)))])
    levels = [np.empty(int(starts[-1]), dtype=np.float32) for _ in range(len(SCALES_MM) + 1)]
    found: list[tuple[Values, NDArray[np.intp]]] = []
    apart = max(1, round(BLOCKS_APART_MM / spacing_mm[0]))
    filtered = _plane_filter(hu, spectrum, spacing_mm=spacing_mm, floor=floor)
    along = (*_along(spacing_mm[0]), 0.0)

    def work(slab: slice) -> None:
        for chunk, smoothed in _chunks(filtered, slab, hu.shape, along=along):
            for level, values in zip(levels, smoothed, strict=True):
                level[starts[chunk.start] : starts[chunk.stop]] = values[lung[chunk]]
            measured = slice(-chunk.start % apart, None, apart)
            deviation, index = _block_deviations([v[measured] for v in smoothed], lung[chunk][measured])
            found.append((deviation, chunk.start + measured.start + apart * index))

    each_slab(work, len(hu), least=2 * CHUNK)
    for index in reversed(range(1, len(levels))):  # so that each is still a level when it is taken off
        levels[index] -= levels[index - 1]
    noise, total = _noise(spectrum, spacing_mm)
    found.sort(key=lambda pair: int(pair[1][0]) if len(pair[1]) else 0)
    return Bands(
        coarse=levels[0],
        details=tuple(levels[1:]),
        starts=starts,
        noise_hu=noise,
        total_hu=total,
        block_hu=np.concatenate([hu for hu, _ in found]),
        block_slice=np.concatenate([z for _, z in found]),
    )


def _along(slice_mm: float) -> tuple[float, ...]:
    """Deviation of each level's smoothing along z, in slices; none where slices are too thick for it."""
    widths = (min(scale, MOST_ALONG_MM) / slice_mm for scale in SCALES_MM)
    return tuple(width if width > LEAST_ALONG else 0.0 for width in widths)


def _plane_filter(
    hu: Values, spectrum: NoiseSpectrum, *, spacing_mm: Spacing, floor: Floor | None
) -> Callable[[int], Iterator[Values]]:
    """Return a function from a slice's index to its levels (y, x) from coarse to fine, the reference image last."""
    slice_mm, _, pixel_mm = spacing_mm
    size = hu.shape[1:]
    shape = tuple(scipy.fft.next_fast_len(pixels, real=True) for pixels in size)
    f = np.hypot(scipy.fft.fftfreq(shape[0], pixel_mm)[:, None], scipy.fft.rfftfreq(shape[1], pixel_mm))
    passed = gain(spectrum, f)
    filters = [(passed * _gaussian(f, scale)).astype(np.float32) for scale in (*SCALES_MM, 0.0)]

    def levels(z: int) -> Iterator[Values]:
        plane = hu[z].clip(LOWEST_HU, HIGHEST_HU)
        if floor is not None:
            means = _local_means(hu[max(z - 1, 0) : z + 2], z - max(z - 1, 0), slice_mm, pixel_mm)
            plane = floor.lift(plane, means)
        transform = scipy.fft.rfft2(_padded(plane, shape))
        for weights in filters:
            yield scipy.fft.irfft2(transform * weights, shape)[: size[0], : size[1]]

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
    filtered: Callable[[int], Iterator[Values]],
    slab: slice,
    shape: tuple[int, ...],
    *,
    along: tuple[float, ...],
) -> Iterator[tuple[slice, list[Values]]]:
    """Yield a few slices of a slab at a time, with their levels smoothed along z; each is filtered once a slab."""
    reach = int(np.ceil(GAUSSIAN_REACH * max(along)))
    done = first = max(slab.start - reach, 0)
    held = np.empty((len(along), CHUNK + 2 * reach, *shape[1:]), dtype=np.float32)
    for start in range(slab.start, slab.stop, CHUNK):
        stop = min(start + CHUNK, slab.stop)
        begin, end = max(start - reach, 0), min(stop + reach, shape[0])
        held[:, : done - begin] = held[:, begin - first : done - first].copy()
        for z in range(done, end):
            for level, plane in zip(held, filtered(z), strict=True):
                level[z - begin] = plane
        done, first = end, begin
        own = slice(start - begin, stop - begin)
        yield (
            slice(start, stop),
            [_smooth_along(held[i, : end - begin], width, own) for i, width in enumerate(along)],
        )


def _padded(plane: Values, shape: tuple[int, ...]) -> Values:
    """Continue a plane by its far edges to a size that transforms fast; its sides lie MARGIN off the lungs."""
    rows, columns = (size - own for size, own in zip(shape, plane.shape, strict=True))
    return np.asarray(np.pad(plane, ((0, rows), (0, columns)), mode="edge"))


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


def block_statistics(values: Values, inside: Mask) -> tuple[Values, Values, NDArray[np.intp]]:
    """Mean and deviation (n,) of each block of BLOCK^2 pixels that is lung alone, and its slice."""
    rows, columns = (size // BLOCK for size in inside.shape[1:])

    def blocks(array: NDArray[np.generic]) -> NDArray[np.generic]:
        cut = array[:, : rows * BLOCK, : columns * BLOCK].reshape(len(array), rows, BLOCK, columns, BLOCK)
        return np.moveaxis(cut, 2, 3)

    whole = blocks(inside).all(axis=(3, 4))
    chosen = np.asarray(blocks(values)[whole])
    return chosen.mean(axis=(1, 2)), chosen.std(axis=(1, 2)), np.nonzero(whole)[0]


def _block_deviations(levels: list[Values], inside: Mask) -> tuple[Values, NDArray[np.intp]]:
    """Deviation of the finest detail in each block of mere parenchyma, and the slice it lies in."""
    _, deviation, slices = block_statistics(levels[-1] - levels[-2], inside)
    density, _, _ = block_statistics(levels[0], inside)
    thin = density < LUNG_HU
    return deviation[thin], slices[thin]


def _noise(spectrum: NoiseSpectrum, spacing_mm: Spacing, size: int = 192) -> tuple[tuple[float, ...], float]:
    """Deviation of each detail's noise in soft tissue, and of all of it; slices are independent."""
    pixel_mm = spacing_mm[2]
    axis = np.fft.fftfreq(size, pixel_mm)
    f = np.hypot(axis[:, None], axis[None])
    power = spectrum.level * f * (spectrum.kernel(f) * gain(spectrum, f)) ** 2 / pixel_mm**2
    along = np.fft.fftfreq(32)[:, None, None]
    passed: list[Array] = [
        _gaussian(f, scale) * np.exp(-2.0 * (np.pi * width * along) ** 2)
        for scale, width in zip(SCALES_MM, _along(spacing_mm[0]), strict=True)
    ]
    passed.append(np.ones((1, 1, 1)))
    details = tuple(
        float(np.sqrt(np.mean(power * (finer - coarser) ** 2))) for coarser, finer in pairwise(passed)
    )
    return details, float(np.sqrt(power.mean()))


def raw_noise_hu(spectrum: NoiseSpectrum, pixel_mm: float, size: int = 192) -> float:
    """Deviation of the scan's own noise in soft tissue."""
    axis = np.fft.fftfreq(size, pixel_mm)
    f = np.hypot(axis[:, None], axis[None])
    return float(np.sqrt(np.mean(spectrum.level * f * spectrum.kernel(f) ** 2)) / pixel_mm)
