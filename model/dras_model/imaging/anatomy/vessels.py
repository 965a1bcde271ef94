"""Vessel trees that fill a lung, grown towards random points by halving them again and again.

The rule is that of volume-filling branching (Tawhai et al., Ann Biomed Eng 2000;28:793): a branch heads for the
centre of the points it supplies, then the points are split across it. Radii follow Murray's law.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AIRWAY_TO_ARTERY, AIRWAY_WALL_MM = 0.7, 1.0
BATCH = 200_000  # voxels painted at once: thousands of small boxes, or one large
MURRAY = 1.0 / 2.7  # radius against number of end points; 1/3 in theory, less in lungs


class Segments(NamedTuple):
    """Straight pieces of a tree: `start_mm`, `end_mm` (n, 3) in x, y, z; `radii_mm` (n, 2); `n_supplied` (n,)."""

    start_mm: NDArray[np.float64]
    end_mm: NDArray[np.float64]
    radii_mm: NDArray[np.float64]
    n_supplied: NDArray[np.int64]


def grow(
    root_mm: NDArray[np.float64],
    targets_mm: NDArray[np.float64],
    *,
    root_radius_mm: float,
    reach: float = 0.45,
) -> Segments:
    """Grow one tree from `root_mm` (3,) to all `targets_mm` (n, 3); `reach` is how far a branch goes."""
    total = len(targets_mm)
    root = np.asarray(root_mm, dtype=np.float64)
    grown: list[Segments] = []
    # Branches (b) that supply as many points (n) each are grown together: `here` (b, 3), `targets` (b, n, 3). One
    # size is halved into two that differ by one at most, so that a tree of thousands is a few dozen steps.
    pending = {total: [(root[None], np.asarray(targets_mm)[None], root_radius_mm)]}
    while pending:
        n = max(pending)  # no larger one is left that could be halved into it
        parts = pending.pop(n)
        here, targets = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        before = np.repeat([part[2] for part in parts], [len(part[0]) for part in parts])
        centre = targets.mean(axis=1)
        there = centre if n == 1 else here + reach * (centre - here)
        ours = root_radius_mm * (n / total) ** MURRAY
        radii = np.stack([np.minimum(before, 1.15 * ours), np.full(len(here), ours)], axis=1)
        grown.append(Segments(here, there, radii, np.full(len(here), n)))
        if n > 1:
            offsets = targets - centre[:, None]
            spread = (offsets @ _widest_across(offsets, there - here)[:, :, None])[:, :, 0]
            targets = np.take_along_axis(targets, np.argsort(spread, axis=1)[:, :, None], axis=1)
            for half in (targets[:, : n // 2], targets[:, n // 2 :]):
                pending.setdefault(half.shape[1], []).append((there, half, ours))
    return Segments(*(np.concatenate(parts) for parts in zip(*grown, strict=True)))


def _widest_across(offsets: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the directions (b, 3) of largest spread of `offsets` (b, n, 3) among those across the branches."""
    length = np.linalg.norm(along, axis=1)
    length[length == 0] = np.inf  # a branch that goes nowhere has nothing along it
    ahead = (offsets @ along[:, :, None]) * along[:, None] / length[:, None, None] ** 2
    across = offsets - ahead
    return np.asarray(np.linalg.eigh(across.transpose(0, 2, 1) @ across)[1][:, :, -1])


def beside(tree: Segments, *, least_supplied: int) -> Segments:
    """The airways along a tree's larger branches: next to the artery, somewhat thinner (Weibel's pairing)."""
    large = np.flatnonzero(tree.n_supplied >= least_supplied)
    along = tree.end_mm[large] - tree.start_mm[large]
    aside = np.cross(along, np.array([0.0, 1.0, 0.3]))
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    radii = AIRWAY_TO_ARTERY * tree.radii_mm[large]
    shift = aside * (tree.radii_mm[large] + radii + AIRWAY_WALL_MM).mean(axis=1, keepdims=True)
    return Segments(tree.start_mm[large] + shift, tree.end_mm[large] + shift, radii, tree.n_supplied[large])


def draw(
    coverage: NDArray[np.uint8],
    segments: Segments,
    *,
    axes_mm: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    wall_mm: float | None = None,
) -> None:
    """Paint the segments into `coverage` (z, y, x), contiguous, 0 to 255, at positions along z, y and x.

    An edge voxel is covered in part; a vessel thinner than a voxel is as pale as its area. With `wall_mm` only
    a wall of that thickness is painted.
    """
    spacing = np.array([axis[1] - axis[0] for axis in axes_mm])
    origin = np.array([axis[0] for axis in axes_mm])
    pixel_mm = float(spacing[2])
    starts, ends = segments.start_mm[:, ::-1], segments.end_mm[:, ::-1]
    margin = segments.radii_mm.max(axis=1, keepdims=True) + pixel_mm / 2
    low = np.ceil((np.minimum(starts, ends) - margin - origin) / spacing).astype(int).clip(0)
    high = np.floor((np.maximum(starts, ends) + margin - origin) / spacing).astype(int) + 1
    sizes = (np.minimum(high, coverage.shape) - low).clip(0)
    flat = coverage.reshape(-1)  # a view
    for which in _batches(sizes.prod(axis=1)):
        owner, voxels = _voxels(low[which], sizes[which])
        distance, radius = _rod(
            starts[which], ends[which] - starts[which], segments.radii_mm[which], owner,
            [axis[v] for axis, v in zip(axes_mm, voxels, strict=True)],
        )  # fmt: skip
        inside = radius - distance
        if wall_mm is not None:
            inside, radius = wall_mm / 2 - np.abs(inside), np.full_like(radius, wall_mm / 2)
        thin = np.minimum(1.0, np.pi * (radius / pixel_mm) ** 2)
        value = (np.clip(inside / pixel_mm + 0.5, 0.0, 1.0) * thin * 255.0).astype(np.uint8)
        seen = value > 0
        places = np.ravel_multi_index(tuple(v[seen] for v in voxels), coverage.shape)
        np.maximum.at(flat, places, value[seen])


def _batches(n_voxels: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the segments whose boxes hold voxels, as many at once as hold BATCH of them together."""
    shown = np.flatnonzero(n_voxels)
    if len(shown):
        batch = np.cumsum(n_voxels[shown]) // BATCH
        yield from np.split(shown, np.flatnonzero(np.diff(batch)) + 1)


def _voxels(
    low: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Return, for every voxel of boxes (n, 3), which box it is of, and its index along z, y and x."""
    counts = sizes.prod(axis=1)
    owner = np.repeat(np.arange(len(sizes)), counts)
    rest = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    rest, x = np.divmod(rest, sizes[owner, 2])
    z, y = np.divmod(rest, sizes[owner, 1])
    return owner, [low[owner, axis] + index for axis, index in enumerate((z, y, x))]


def _rod(
    start: NDArray[np.float64],
    along_mm: NDArray[np.float64],
    radii: NDArray[np.float64],
    owner: NDArray[np.int64],
    positions: list[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance of voxels to the axes that own them, and the rods' radii beside them."""
    z, y, x = (position - start[owner, axis] for axis, position in enumerate(positions))
    az, ay, ax = (along_mm[owner, axis] for axis in range(3))
    along = np.clip((z * az + y * ay + x * ax) / np.maximum(az**2 + ay**2 + ax**2, 1e-9), 0.0, 1.0)
    distance = np.sqrt((z - along * az) ** 2 + (y - along * ay) ** 2 + (x - along * ax) ** 2)
    return distance, radii[owner, 0] + along * (radii[owner, 1] - radii[owner, 0])
