"""Stored values of a stack become Hounsfield units: decoded, rescaled per slice, padding to air.

Rescale is applied slice by slice in float32 (SimpleITK#1636 tells of a reader that did not). Decoding
is pydicom's, with one codec named per syntax: which of them is installed must not change a voxel.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from scipy import ndimage

from dras_model.imaging.slices import PARSE_FAULTS, Slice, quiet_pydicom
from dras_model.imaging.stack import Stack
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

AIR_HU = np.float32(-1024.0)  # what padding becomes, as in the method's own padding
PADDING_BELOW_HU = np.float32(-1200.0)  # no tissue and no noise of a scanner in use lies below
BODY_HU = (-200.0, 300.0)
LEAST_AIR, LEAST_BODY = 0.02, 0.02  # fractions of a chest CT's voxels
SLOPES = (1e-3, 1e3)
MOST_INTERCEPT = 1e5
# GDCM reads all of these too, but ends the process on some damaged streams; so it is left the rest.
_CODECS: Mapping[UID, str] = MappingProxyType(
    {
        JPEG2000: "pylibjpeg",
        JPEG2000Lossless: "pylibjpeg",
        JPEGLSLossless: "pyjpegls",
        JPEGLSNearLossless: "pyjpegls",
        RLELossless: "pydicom",
    }
)


def read_volume(stack: Stack) -> Volume:
    """Decode a stack into HU (z, y, x) float32 on its grid.

    Raises StudyRefused: PIXEL_FORMAT, RESCALE_INVALID, TRUNCATED, UNDECODABLE, NOT_HU.
    """
    check_format(stack)
    planes = np.empty((len(stack.slices), *stack.grid.shape[1:]), dtype=np.float32)
    by_file: dict[Path, list[int]] = {}
    for index, item in enumerate(stack.slices):
        by_file.setdefault(item.path, []).append(index)

    def decode(path: Path) -> None:
        wanted = by_file[path]
        _decode_file(path, [(stack.slices[index], planes[index]) for index in wanted])

    with quiet_pydicom(), ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(decode, by_file))
    check_hu(planes)
    if stack.shifts.any():
        for plane, (rows, columns) in zip(planes, stack.shifts, strict=True):
            plane[:] = ndimage.shift(plane, (rows, columns), order=1, cval=float(AIR_HU))
    return Volume(planes if stack.regular else _by_position(planes, stack), stack.grid)


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
            ("PhotometricInterpretation", item.photometric, "MONOCHROME2"),
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
    if invalid:
        raise StudyRefused(Code.RESCALE_INVALID, n_slices=invalid)


def _rescales(item: Slice) -> bool:
    if item.slope is None or item.intercept is None:
        return False
    return SLOPES[0] <= abs(item.slope) <= SLOPES[1] and abs(item.intercept) <= MOST_INTERCEPT


def _decode_file(path: Path, wanted: list[tuple[Slice, NDArray[np.float32]]]) -> None:
    """Read one file and decode its wanted frames, each into its plane."""
    dataset: Dataset | None = None
    try:
        dataset = pydicom.dcmread(path)
        codec = _CODECS.get(dataset.file_meta.get("TransferSyntaxUID", UID("")), "")
        for item, plane in wanted:
            _rescale(pixel_array(dataset, index=item.frame, decoding_plugin=codec), item, plane)
    except StudyRefused:
        raise
    except (*PARSE_FAULTS, OSError, RuntimeError) as error:
        if dataset is None or "end of" in str(error).lower() or "less than expected" in str(error):
            raise StudyRefused(Code.TRUNCATED, n_files=1) from error
        raise _undecodable(dataset) from error


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


def _undecodable(dataset: Dataset) -> StudyRefused:
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
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
