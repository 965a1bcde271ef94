"""Stored values of a stack become Hounsfield units: decoded, rescaled per slice, padding to air.

Rescale is applied slice by slice in float32 (SimpleITK#1636 tells of a reader that did not). The stored
values are those of `decoding`.
"""

import mmap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.decoding import open_pixels
from dras_model.imaging.slices import Slice, quiet_pydicom
from dras_model.imaging.stack import Stack
from dras_model.imaging.volume import AIR_HU, PADDING_BELOW_HU, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

BODY_HU = (-200.0, 300.0)
LEAST_AIR, LEAST_BODY = 0.02, 0.02  # fractions of a chest CT's voxels
# Among these values lies the commonest air (or tissue) of a CT, and there in Hounsfield units. Muscle, blood
# and liver have 20 to 80 HU, fat -100; lung is left out between them.
AIR_PEAK = ((-1200.0, -920.0), (-1045.0, -960.0))
TISSUE_PEAK = ((-30.0, 200.0), (0.0, 90.0))
PEAK_BIN_HU = 10.0
SLOPES = (1e-3, 1e3)
MOST_INTERCEPT = 1e5
# MONOCHROME1 says how to show the values (PS3.3 C.7.6.3.1.2); their rescale to HU is the same.
_PLAIN: Mapping[str, str] = MappingProxyType({"MONOCHROME1": "MONOCHROME2"})
Allocate: TypeAlias = Callable[[tuple[int, int, int]], NDArray[np.float32]]
Each: TypeAlias = Callable[[Callable[[int], None], int], None]


def new_array(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return an array that other processes, forked from this one, write to as well."""
    memory = mmap.mmap(-1, 4 * shape[0] * shape[1] * shape[2])
    return np.frombuffer(memory, dtype=np.float32).reshape(shape)


def one_by_one(work: Callable[[int], None], n: int) -> None:
    """Call `work` on range(n) in order, in this process."""
    for number in range(n):
        work(number)


def read_volume(stack: Stack, *, allocate: Allocate = new_array, each: Each = one_by_one) -> Volume:
    """Decode a stack into HU (z, y, x) float32 on its grid, in memory from `allocate`.

    `each` calls the decoding of every file, wherever it wants to. Raises StudyRefused: PIXEL_FORMAT,
    RESCALE_INVALID, TRUNCATED, UNDECODABLE, NOT_HU.
    """
    check_format(stack)
    shape = (len(stack.slices), *stack.grid.shape[1:])
    planes = allocate(shape) if stack.regular else new_array(shape)
    by_file: dict[Path, list[int]] = {}
    for index, item in enumerate(stack.slices):
        by_file.setdefault(item.path, []).append(index)
    files = list(by_file.items())

    def decode(number: int) -> None:
        path, wanted = files[number]
        decode_file(path, [(stack.slices[index], planes[index]) for index in wanted])

    with quiet_pydicom():
        each(decode, len(files))
    check_read(planes, stack)
    shear(planes, stack.shifts)
    if stack.regular:
        return Volume(planes, stack.grid)
    filled = allocate(stack.grid.shape)
    _by_position(planes, stack, filled)
    return Volume(filled, stack.grid)


def shear(planes: NDArray[np.float32], shifts: NDArray[np.float64]) -> None:
    """Move each plane (n, y, x) by its shift (n, 2) to where it would lie without the tilt of the gantry."""
    if not shifts.any():
        return
    from scipy import ndimage  # noqa: PLC0415 - takes as long to load as all else that reading needs

    for plane, (rows, columns) in zip(planes, shifts, strict=True):
        plane[:] = ndimage.shift(plane, (rows, columns), order=1, cval=float(AIR_HU))


def check_read(planes: NDArray[np.float32], stack: Stack) -> None:
    """Refuse NOT_HU; stricter where no header says that the values are Hounsfield units."""
    check_hu(planes)
    if any(item.rescale_assumed for item in stack.slices):
        _check_peaks(planes)


def _check_peaks(values: NDArray[np.float32]) -> None:
    """Refuse NOT_HU unless the commonest air and the commonest soft tissue have the HU of theirs."""
    sample = values[:: max(1, values.shape[0] // 32), ::4, ::4]
    for name, among, place in (("air", *AIR_PEAK), ("soft tissue", *TISSUE_PEAK)):
        counts, edges = np.histogram(sample, bins=np.arange(among[0], among[1] + 1.0, PEAK_BIN_HU))
        peak = float(edges[counts.argmax()]) + PEAK_BIN_HU / 2.0
        if not place[0] <= peak <= place[1]:
            reason = f"there is no rescale, and the commonest {name} has a value of {peak:.0f}"
            raise StudyRefused(Code.NOT_HU, reason=reason)


def check_hu(values: NDArray[np.float32]) -> None:
    """Refuse NOT_HU where a histogram has no air or no soft tissue where HU have them."""
    sample = values[:: max(1, values.shape[0] // 32), ::4, ::4]
    inside = sample[sample > PADDING_BELOW_HU]
    if inside.size == 0 or float(inside.max()) - float(inside.min()) < 100.0:
        raise StudyRefused(Code.NOT_HU, reason="all values lie within 100 of each other")
    air = float(np.mean(inside < -700.0))
    body = float(np.mean((inside > BODY_HU[0]) & (inside < BODY_HU[1])))
    if air < LEAST_AIR:
        raise StudyRefused(Code.NOT_HU, reason=f"only {100 * air:.1f} % of the voxels are as thin as air")
    if body < LEAST_BODY:
        raise StudyRefused(Code.NOT_HU, reason=f"only {100 * body:.1f} % of the voxels are soft tissue")


def check_format(stack: Stack) -> None:
    """Refuse what the headers say of the pixels and their rescale where it cannot be trusted.

    Raises StudyRefused: PIXEL_FORMAT, RESCALE_INVALID, NOT_HU. Source: PS3.3 C.7.6.3 and C.8.2.1.
    """
    for item in stack.slices:
        for keyword, found, allowed in (
            ("PhotometricInterpretation", _PLAIN.get(item.photometric, item.photometric), "MONOCHROME2"),
            ("SamplesPerPixel", item.samples_per_pixel, 1),
            ("BitsAllocated", item.bits_allocated, 16),
            ("BitsStored", item.bits_stored, min(max(item.bits_stored, 9), 16)),
            ("HighBit", item.high_bit, item.bits_stored - 1),
            ("NumberOfFrames", item.n_frames, item.n_described),
        ):
            if found != allowed:
                raise StudyRefused(
                    Code.PIXEL_FORMAT, keyword=keyword, found=str(found)[:32], allowed=str(allowed)
                )
        if item.rescale_type not in {"", "HU", "US"}:
            raise StudyRefused(Code.NOT_HU, reason="RescaleType names another unit")
    invalid = sum(not _rescales(item) for item in stack.slices)
    assumed = sum(item.rescale_assumed for item in stack.slices)
    invalid += assumed if assumed < len(stack.slices) else 0
    if invalid:
        raise StudyRefused(Code.RESCALE_INVALID, n_slices=invalid)


def _rescales(item: Slice) -> bool:
    if item.slope is None or item.intercept is None:
        return False
    return SLOPES[0] <= abs(item.slope) <= SLOPES[1] and abs(item.intercept) <= MOST_INTERCEPT


def decode_file(path: Path, wanted: Iterable[tuple[Slice, NDArray[np.float32]]]) -> None:
    """Read one file and decode its wanted frames, each into its plane before the next one is asked for."""
    with open_pixels(path) as stored:
        for item, plane in wanted:
            _rescale(stored(item), item, plane)


def _rescale(stored: NDArray[np.integer], item: Slice, plane: NDArray[np.float32]) -> None:
    """Write the HU of one frame's stored values into its plane."""
    if stored.shape != plane.shape:
        raise StudyRefused(
            Code.PIXEL_FORMAT, keyword="Rows and Columns", found=str(stored.shape), allowed=str(plane.shape)
        )
    slope, intercept = np.float32(item.slope or 0.0), np.float32(item.intercept or 0.0)
    np.multiply(stored, slope, out=plane, casting="unsafe")
    plane += intercept
    plane[plane < PADDING_BELOW_HU] = AIR_HU
    if item.padding is not None:
        low, high = item.padding
        plane[(stored >= low) & (stored <= high)] = AIR_HU


def _by_position(planes: NDArray[np.float32], stack: Stack, filled: NDArray[np.float32]) -> None:
    """Interpolate linearly between true slice positions onto the planes of the grid."""
    target = np.arange(stack.grid.shape[0], dtype=np.float64)
    right = np.clip(np.searchsorted(stack.depths, target), 1, len(planes) - 1)
    left = right - 1
    weight = np.clip(
        (target - stack.depths[left]) / (stack.depths[right] - stack.depths[left]), 0.0, 1.0
    ).astype(np.float32)
    for plane, low, high, part in zip(filled, left, right, weight, strict=True):
        plane[:] = planes[low] * (np.float32(1.0) - part) + planes[high] * part
