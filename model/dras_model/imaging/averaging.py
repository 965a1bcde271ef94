"""Reading onto a coarser working grid: blocks of voxels are averaged as they are decoded.

A slice is added to the planes it belongs to and forgotten, so that a study of any size is never in memory as
a whole. Where nothing is averaged, `pixels` reads.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.pixels import (
    Allocate,
    Each,
    check_format,
    check_read,
    decode_file,
    new_array,
    one_by_one,
    shear,
)
from dras_model.imaging.slices import Slice, quiet_pydicom
from dras_model.imaging.stack import Stack
from dras_model.imaging.volume import Volume

_Share = dict[int, float]  # slice -> its weight in a plane


def read_averaged(stack: Stack, *, allocate: Allocate = new_array, each: Each = one_by_one) -> Volume:
    """Decode a stack into HU (z, y, x) float32, averaged onto its working grid, in memory from `allocate`.

    `each` calls the making of every plane; of files with many frames, of all planes at once.
    Raises what `pixels.read_volume` raises.
    """
    check_format(stack)
    planes = allocate(stack.grid.shape)
    shares = _shares(stack)
    n_files = len({item.path for item in stack.slices})
    tasks = [range(k, k + 1) for k in range(len(planes))]
    if n_files < len(stack.slices):
        tasks = [range(len(planes))]

    def make(number: int) -> None:
        wanted = tasks[number]
        planes[wanted.start : wanted.stop] = 0.0
        for path, indices in _by_file(stack, {index for k in wanted for index in shares[k]}).items():
            _add_file(stack, path, indices, {k: (shares[k], planes[k]) for k in wanted})

    with quiet_pydicom():
        each(make, len(tasks))
    check_read(planes, stack)
    return Volume(planes, stack.grid)


def _shares(stack: Stack) -> list[_Share]:
    """Slices and weights of every working plane: native planes lie between the slices beside them."""
    target = np.arange(stack.native.shape[0], dtype=np.float64)
    high = np.clip(np.searchsorted(stack.depths, target), 1, len(stack.slices) - 1)
    low = high - 1
    parts = np.clip((target - stack.depths[low]) / (stack.depths[high] - stack.depths[low]), 0.0, 1.0)
    shares: list[_Share] = [{} for _ in range(stack.grid.shape[0])]
    for fine in range(stack.grid.shape[0] * stack.factors[0]):
        share = shares[fine // stack.factors[0]]
        for index, weight in ((low[fine], 1.0 - parts[fine]), (high[fine], parts[fine])):
            if weight > 0.0:
                share[int(index)] = share.get(int(index), 0.0) + float(weight) / stack.factors[0]
    return shares


def _by_file(stack: Stack, indices: set[int]) -> dict[Path, list[int]]:
    files: dict[Path, list[int]] = {}
    for index in sorted(indices):
        files.setdefault(stack.slices[index].path, []).append(index)
    return files


def _add_file(
    stack: Stack, path: Path, indices: list[int], wanted: dict[int, tuple[_Share, NDArray[np.float32]]]
) -> None:
    """Decode slices of one file, one at a time, and add each to the planes that hold a share of it."""
    plane = np.empty(stack.native.shape[1:], dtype=np.float32)

    def decoding() -> Iterator[tuple[Slice, NDArray[np.float32]]]:
        for index in indices:
            yield stack.slices[index], plane  # decoded when the next one is asked for
            shear(plane[None], stack.shifts[index : index + 1])
            means = _block_means(plane, stack)
            for share, out in wanted.values():
                if index in share:
                    np.add(out, means * np.float32(share[index]), out=out)

    decode_file(path, decoding())


def _block_means(plane: NDArray[np.float32], stack: Stack) -> NDArray[np.float32]:
    _, rows, columns = stack.grid.shape
    _, of_y, of_x = stack.factors
    blocks = plane[: rows * of_y, : columns * of_x].reshape(rows, of_y, columns, of_x)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means
