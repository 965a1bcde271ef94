"""Shapes as signed fields: positive inside, zero on the surface, in millimetres near it.

A field is smooth, so it is sampled on a coarse lattice and brought to any voxel grid by cubic B-splines.
No anatomy here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Field: TypeAlias = NDArray[np.floating]  # float64 where a voxel must not move, float32 elsewhere

FAR_MM = 20.0  # beyond this from a rod its exact distance matters to nobody


class Points(NamedTuple):
    """Positions in mm, broadcastable to (z, y, x): `x` grows left, `y` posterior, `z` superior."""

    x: Field
    y: Field
    z: Field


class Vector(NamedTuple):
    """A position or three radii in mm, in the axes of `Points`."""

    x: float
    y: float
    z: float


def ellipsoid(points: Points, centre: Vector, radii: Vector, *, exponent: float = 2.0) -> Field:
    """A superellipsoid along the axes."""
    x, y, z = (np.abs((p - c) / r) ** exponent for p, c, r in zip(points, centre, radii, strict=True))
    return np.asarray((1.0 - (x + y + z) ** (1.0 / exponent)) * min(radii))


def outline(
    points: Points,
    *,
    centre_x: Field | float,
    centre_y: Field | float,
    half_width: Field | float,
    half_depth: Field | float,
    exponent: float = 2.0,
) -> Field:
    """A column whose axial section is a superellipse; the arguments may vary with z.

    The field is the distance to the outline along the ray from the centre.
    """
    u, v = points.x - centre_x, points.y - centre_y
    q = (np.abs(u / half_width) ** exponent + np.abs(v / half_depth) ** exponent) ** (1.0 / exponent)
    radius = np.hypot(u, v)
    reach = np.maximum(radius, 1e-6) / np.maximum(q, 1e-6 / np.minimum(half_width, half_depth))
    return np.asarray(reach - radius)


def capsule(points: Points, start: Vector, end: Vector, *, radii_mm: tuple[float, float]) -> Field:
    """A round rod from `start` to `end` whose radius changes linearly; at most `FAR_MM` deep outside."""
    field = np.full(np.broadcast_shapes(*(p.shape for p in points)), -FAR_MM, dtype=points.x.dtype)
    reach_mm = max(radii_mm) + FAR_MM
    heights = points.z.ravel()  # one a plane: heights never vary within one
    near = (heights > min(start.z, end.z) - reach_mm) & (heights < max(start.z, end.z) + reach_mm)
    if near.any():
        planes = slice(int(np.argmax(near)), len(near) - int(np.argmax(near[::-1])))
        section = Points(*(p[planes] if p.shape[0] > 1 else p for p in points))
        field[planes] = np.maximum(_rod(section, start, end, radii_mm=radii_mm), -FAR_MM)
    return field


def tube(points: Points, nodes: Sequence[Vector], radii_mm: Sequence[float]) -> Field:
    """A chain of rods through `nodes`."""
    rods = (
        capsule(points, a, b, radii_mm=(ra, rb))
        for a, b, ra, rb in zip(nodes[:-1], nodes[1:], radii_mm[:-1], radii_mm[1:], strict=True)
    )
    return union(*rods)


def union(*fields: Field) -> Field:
    """What lies in any of the shapes."""
    return reduce(np.maximum, fields)


def intersection(*fields: Field) -> Field:
    """What lies in all of the shapes."""
    return reduce(np.minimum, fields)


def smooth_union(a: Field, b: Field, *, blend_mm: float) -> Field:
    """The larger field, with the crease between the two filled over `blend_mm` (Quilez' polynomial)."""
    h = np.maximum(blend_mm - np.abs(a - b), 0.0) / blend_mm
    return np.asarray(np.maximum(a, b) + h**2 * (blend_mm / 4.0))


def _rod(points: Points, start: Vector, end: Vector, *, radii_mm: tuple[float, float]) -> Field:
    ax, ay, az = (float(e - s) for s, e in zip(start, end, strict=True))
    x, y, z = (p - float(s) for p, s in zip(points, start, strict=True))
    along = np.clip((x * ax + y * ay + z * az) / max(ax**2 + ay**2 + az**2, 1e-9), 0.0, 1.0)
    distance = np.sqrt((x - along * ax) ** 2 + (y - along * ay) ** 2 + (z - along * az) ** 2)
    return np.asarray(radii_mm[0] + along * (radii_mm[1] - radii_mm[0]) - distance)


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A regular coarse sampling of a box: `axes_mm` are the positions along z, y and x."""

    axes_mm: tuple[Field, Field, Field]

    @classmethod
    def around(cls, axes_mm: Sequence[Field], *, step_mm: float) -> "Lattice":
        """The lattice that spans fine positions along z, y and x, with room for a spline at the ends."""
        return cls(
            tuple(  # type: ignore[arg-type]
                np.arange(np.floor(axis.min() / step_mm) - 1, np.ceil(axis.max() / step_mm) + 2) * step_mm
                for axis in axes_mm
            )
        )

    def points(self, dtype: type[np.floating] = np.float32) -> Points:
        """The lattice's positions."""
        z, y, x = (axis.astype(dtype) for axis in self.axes_mm)
        return Points(x[None, None, :], y[None, :, None], z[:, None, None])


class Upsampler:
    """Brings fields on a lattice to finer positions by the cubic B-spline approximation.

    The spline does not interpolate: it rounds creases at the scale of the lattice (a Gaussian of 0.58 steps).
    Sparse products rather than dense ones: four weights a position, no threads of their own to wait for, and
    the same bits whatever else the machine does.
    """

    def __init__(
        self, lattice: Lattice, axes_mm: Sequence[Field], *, dtype: type[np.floating] = np.float32
    ) -> None:
        self._z, self._y, self._x = (
            _spline_weights(fine, coarse).astype(dtype)
            for fine, coarse in zip(axes_mm, lattice.axes_mm, strict=True)
        )

    def planes(self, fields: Field) -> Iterator[Field]:
        """Yield, for each fine z, the planes (k, y, x) of `fields` (k, z, y, x)."""
        for index in range(self._z.shape[0]):
            yield self.plane(fields, index)

    def plane(self, fields: Field, index: int) -> Field:
        """Return the planes (k, y, x) of `fields` (k, z, y, x) at the fine z of that index."""
        row = self._z[[index]]
        section = np.asarray(sum(w * fields[:, z] for z, w in zip(row.indices, row.data, strict=True)))
        n_fields, n_y, n_x = section.shape
        along_x = self._x @ section.transpose(2, 1, 0).reshape(n_x, n_y * n_fields)
        along_x = along_x.reshape(-1, n_y, n_fields).transpose(1, 2, 0).reshape(n_y, -1)
        return np.asarray((self._y @ along_x).reshape(self._y.shape[0], n_fields, -1).transpose(1, 0, 2))


def _spline_weights(fine_mm: Field, coarse_mm: Field) -> csr_array:
    """Return the weights (fine, coarse) of the cubic B-spline on a uniform axis."""
    step = coarse_mm[1] - coarse_mm[0]
    t = np.abs((fine_mm[:, None] - coarse_mm[None, :]) / step)
    near = 2.0 / 3.0 - t**2 + t**3 / 2.0
    far = (2.0 - t) ** 3 / 6.0
    return csr_array(np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0)))
