"""Where the lung gives way: one field a pattern, high where a voxel would be lost first.

The field is cut at the level that gives the asked fraction, so that a larger fraction grows the same holes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from dras_model.imaging.anatomy.shapes import Field, Lattice
from dras_model.imaging.phantom.spec import EmphysemaKind

LOBULE_MM = 14.0  # between the centres of secondary lobules, 10 to 25 mm in the adult
CYST_DEPTH_MM = (3.0, 8.0)
SEPTUM_MM = 2.0
LEVELS = 2**16 - 1
HOLE_HU = (-980.0, -1000.0)  # at the edge of a hole and within it


def emphysema_field(kind: EmphysemaKind, lattice: Lattice, lung: Field, *, seed: int) -> Field:
    """Return the field (z, y, x) of a pattern on a lattice, in [0, 1]; `lung` is positive inside, mm."""
    rng = np.random.default_rng([seed, 3])
    height = _height(lung)
    match kind:
        case EmphysemaKind.CENTRILOBULAR:
            field = _holes(lattice, lung, _lobules(lattice, rng), rng) + 3.0 * height
        case EmphysemaKind.PARASEPTAL:
            buried = np.maximum(lung - CYST_DEPTH_MM[1], 0.0)  # cysts grow along the pleura, not inwards
            field = _holes(lattice, lung, _cysts(lattice, lung, rng), rng) + 2.0 * height - buried
        case _:
            coarse = smooth_noise(rng, lung.shape, sigma=6.0)
            fine = smooth_noise(rng, lung.shape, sigma=1.0)
            field = coarse + 0.35 * fine - 1.5 * height
    inside = field[lung > -10.0]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 1.0)
    return np.asarray(((field - low) / max(high - low, 1e-9)).clip(0.0, 1.0))


def level_of(counts: NDArray[np.int64], n_wanted: int) -> int:
    """Return the level from which on about `n_wanted` of the counted voxels lie; ValueError if too few do."""
    above = np.cumsum(counts[::-1])[::-1]
    if above[0] < n_wanted:
        raise ValueError(f"the place holds {above[0]} voxels that can be lost, {n_wanted} were asked for")
    return int(np.argmin(np.abs(above - n_wanted)))


def levels_of(pattern: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the level of each voxel of a pattern, which is lost where a phantom is cut at that level or below."""
    return np.clip(pattern * LEVELS, 0, LEVELS).astype(np.uint16)


def hole_hu(levels: NDArray[np.uint16], level: int) -> NDArray[np.float32]:
    """Return the HU of lost voxels by their levels, where the pattern was cut at `level`."""
    depth = np.minimum(3.0 * (levels.astype(np.float32) - level) / max(LEVELS - level, 1), 1.0)
    edge, within = HOLE_HU
    return np.asarray(edge + (within - edge) * depth, dtype=np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], *, sigma: float) -> Field:
    """Return Gaussian noise of unit variance, correlated over `sigma` lattice steps."""
    noise = gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return np.asarray(noise / noise.std())


def _height(lung: Field) -> Field:
    """0 at the base and 1 at the apex of the lungs, along z (z, 1, 1)."""
    area = (lung > 0).sum(axis=(1, 2)).astype(np.float64)
    return np.asarray(np.cumsum(area) / max(area.sum(), 1.0))[:, None, None]


def _holes(lattice: Lattice, lung: Field, centres_mm: Field, rng: np.random.Generator) -> Field:
    """High near the centres (n, 3 in z, y, x): each hole's own size less the distance to its centre."""
    sizes_mm = rng.gamma(4.0, 0.6, len(centres_mm))
    near = lung > -6.0
    z, y, x = np.nonzero(near)
    places = np.stack([axis[i] for axis, i in zip(lattice.axes_mm, (z, y, x), strict=True)], axis=1)
    nearest, which = (np.asarray(found).T for found in cKDTree(centres_mm).query(places, k=2))
    room = nearest[1] - nearest[0] - SEPTUM_MM  # a wall stands between two holes
    field = np.full(lung.shape, -LOBULE_MM)
    field[near] = np.minimum(sizes_mm[which[0]] - nearest[0], room)
    return field


def _lobules(lattice: Lattice, rng: np.random.Generator) -> Field:
    axes = [np.arange(axis[0], axis[-1], LOBULE_MM) for axis in lattice.axes_mm]
    regular = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return regular + rng.uniform(-0.45, 0.45, regular.shape) * LOBULE_MM


def _cysts(lattice: Lattice, lung: Field, rng: np.random.Generator) -> Field:
    places = np.argwhere((lung > CYST_DEPTH_MM[0]) & (lung < CYST_DEPTH_MM[1]))
    chosen = places[rng.permutation(len(places))[: max(8, len(places) // 20)]]
    return np.stack([axis[chosen[:, a]] for a, axis in enumerate(lattice.axes_mm)], axis=1)
