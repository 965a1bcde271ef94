"""Stored values of a stack become Hounsfield units: decoded, rescaled per slice, padding to air.

Rescale is applied slice by slice in float32 (SimpleITK#1636 tells of a reader that did not). Decoding
is pydicom's with GDCM, OpenJPEG, CharLS and RLE behind it.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from scipy import ndimage

from dras_model.imaging.slices import Slice
from dras_model.imaging.stack import Stack
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

AIR_HU = np.float32(-1024.0)  # what padding becomes, as in the method's own padding
PADDING_BELOW_HU = np.float32(-1200.0)  # no tissue and no noise of a scanner in use lies below
BODY_HU = (-200.0, 300.0)
LEAST_AIR, LEAST_BODY = 0.02, 0.02  # fractions of a chest CT's voxels


def read_volume(stack: Stack) -> Volume:
    """Decode a stack into HU (z, y, x) float32 on its grid.

    Raises StudyRefused: PIXEL_FORMAT, RESCALE_INVALID, TRUNCATED, UNDECODABLE, NOT_HU.
    """
    _check_format(stack)
    planes = np.empty((len(stack.slices), *stack.grid.shape[1:]), dtype=np.float32)

    def decode(index: int) -> None:
        _decode(stack.slices[index], planes[index])

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(decode, range(len(stack.slices))))
    check_hu(planes)
    if stack.shifts.any():
        for plane, (rows, columns) in zip(planes, stack.shifts, strict=True):
            plane[:] = ndimage.shift(plane, (rows, columns), order=1, cval=float(AIR_HU))
    if len(stack.slices) != stack.grid.shape[0] or np.any(stack.depths != np.round(stack.depths)):
        planes = _by_position(planes, stack)
    return Volume(planes, stack.grid)


def check_hu(values: NDArray[np.float32]) -> None:
    """Refuse NOT_HU where a histogram has no air or no soft tissue where HU have them."""
    sample = values[:: max(1, values.shape[0] // 32), ::4, ::4]
    inside = sample[sample > PADDING_BELOW_HU]
    if inside.size == 0 or float(inside.max()) - float(inside.min()) < 100.0:
        raise StudyRefused(Code.NOT_HU, reason="the image is constant")
    air = float(np.mean(inside < -700.0))
    body = float(np.mean((inside > BODY_HU[0]) & (inside < BODY_HU[1])))
    if air < LEAST_AIR:
        raise StudyRefused(Code.NOT_HU, reason=f"only {100 * air:.1f} % of the voxels are as thin as air")
    if body < LEAST_BODY:
        raise StudyRefused(Code.NOT_HU, reason=f"only {100 * body:.1f} % of the voxels are soft tissue")


def _check_format(stack: Stack) -> None:
    for keyword, attribute, allowed in (
        ("PhotometricInterpretation", "photometric", ("MONOCHROME2",)),
        ("SamplesPerPixel", "samples_per_pixel", (1,)),
        ("BitsAllocated", "bits_allocated", (16,)),
    ):
        for item in stack.slices:
            found = getattr(item, attribute)
            if found not in allowed:
                raise StudyRefused(
                    Code.PIXEL_FORMAT, keyword=keyword, found=str(found), allowed=str(allowed[0])
                )
    invalid = sum(item.slope is None or item.intercept is None or item.slope == 0 for item in stack.slices)
    if invalid:
        raise StudyRefused(Code.RESCALE_INVALID, n_slices=invalid)


def _decode(item: Slice, plane: NDArray[np.float32]) -> None:
    dataset = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(item.path)
            stored = pixel_array(dataset, index=item.frame)
    except (ValueError, AttributeError, KeyError, EOFError, OSError) as error:
        if dataset is None or "end of" in str(error).lower() or "less than expected" in str(error):
            raise StudyRefused(Code.TRUNCATED, n_files=1) from error
        raise _undecodable(dataset) from error
    except (RuntimeError, NotImplementedError, MemoryError) as error:
        raise _undecodable(dataset) from error
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


def _undecodable(dataset: pydicom.Dataset | None) -> StudyRefused:
    meta = getattr(dataset, "file_meta", None)
    syntax = getattr(meta, "TransferSyntaxUID", None)
    return StudyRefused(Code.UNDECODABLE, n_files=1, syntax=getattr(syntax, "name", "unknown"))


def _by_position(planes: NDArray[np.float32], stack: Stack) -> NDArray[np.float32]:
    """Interpolate linearly between true slice positions onto the planes of the grid."""
    target = np.arange(stack.grid.shape[0], dtype=np.float64)
    right = np.clip(np.searchsorted(stack.depths, target), 1, len(planes) - 1)
    left = right - 1
    weight = np.clip(
        (target - stack.depths[left]) / (stack.depths[right] - stack.depths[left]), 0.0, 1.0
    ).astype(np.float32)
    filled = np.empty(stack.grid.shape, dtype=np.float32)
    for plane, low, high, part in zip(filled, left, right, weight, strict=True):
        plane[:] = planes[low] * (np.float32(1.0) - part) + planes[high] * part
    return filled
