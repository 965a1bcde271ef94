"""Low-attenuation clusters of known sizes inside a mask: the truth for the exponent of their distribution.

Sizes follow the power law exactly (its quantiles, not a sample), so that what is planted has the exponent asked
for; a cluster is the ball of voxels nearest to a seed, and a rim of one voxel keeps clusters apart.
"""

import numpy as np
from numpy.typing import NDArray

ATTEMPTS = 2000  # at a place for one cluster


def power_law_sizes(n: int, exponent: float, *, smallest: int) -> NDArray[np.int64]:
    """Return `n` sizes in voxels, the largest first, of which n (smallest / S) ** exponent are at least S."""
    if n < 1 or exponent <= 0.0 or smallest < 1:
        raise ValueError("at least one cluster of at least one voxel, and a positive exponent")
    rank = np.arange(1, n + 1)
    return np.rint(smallest * (n / rank) ** (1.0 / exponent)).astype(np.int64)


def plant_clusters(mask: NDArray[np.bool_], sizes: NDArray[np.int64], *, seed: int) -> NDArray[np.bool_]:
    """Return where clusters (z, y, x) of exactly `sizes` voxels lie in `mask`, none touching another.

    ValueError where the mask has no room for one of them.
    """
    rng = np.random.default_rng([seed, 6])
    offsets = _ball(int(np.ceil((3.0 * int(sizes.max()) / (4.0 * np.pi)) ** (1 / 3))) + 2)
    planted, taken = np.zeros(mask.shape, dtype=np.bool_), ~mask
    places = np.argwhere(mask)
    for size in sorted((int(size) for size in sizes), reverse=True):
        found = _room(taken, places, offsets[:size], rng)
        planted[tuple(found.T)] = True
        low, high = np.maximum(found.min(axis=0) - 1, 0), found.max(axis=0) + 2
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        near = np.zeros(taken[box].shape, dtype=np.bool_)
        near[tuple((found - low).T)] = True
        taken[box] |= _rim(near)
    return planted


def _room(
    taken: NDArray[np.bool_], places: NDArray[np.int64], offsets: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the voxels (n, 3) of one cluster at a place where all of them are free."""
    shape = np.array(taken.shape)
    for _ in range(ATTEMPTS):
        voxels = places[rng.integers(len(places))] + offsets
        inside = (voxels >= 0).all() and (voxels < shape).all()
        if inside and not taken[tuple(voxels.T)].any():
            return np.asarray(voxels)
    raise ValueError(f"the mask has no room for a cluster of {len(offsets)} voxels")


def _ball(radius: int) -> NDArray[np.int64]:
    """Return offsets (n, 3) by their distance; any number of the first ones is connected by faces."""
    steps = np.arange(-radius, radius + 1)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(offsets[np.argsort((offsets**2).sum(axis=1), kind="stable")])


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with its neighbours by face, edge and corner."""
    grown = mask.copy()
    for axis in range(3):
        lower = (slice(None),) * axis + (slice(None, -1),)
        upper = (slice(None),) * axis + (slice(1, None),)
        before = grown.copy()
        grown[lower] |= before[upper]
        grown[upper] |= before[lower]
    return grown
