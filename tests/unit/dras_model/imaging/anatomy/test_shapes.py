from itertools import pairwise

import numpy as np
import pytest

from dras_model.imaging.anatomy.shapes import (
    FAR_MM,
    Lattice,
    Points,
    Upsampler,
    Vector,
    capsule,
    ellipsoid,
    intersection,
    outline,
    smooth_union,
    tube,
    union,
)


@pytest.fixture(scope="module")
def points() -> Points:
    axis = np.arange(-30.0, 31.0)
    return Lattice((axis, axis, axis)).points(np.float64)


def test_a_ball_is_measured_from_its_surface(points: Points) -> None:
    ball = ellipsoid(points, Vector(0, 0, 0), Vector(10, 10, 10))
    radius = np.sqrt(points.x**2 + points.y**2 + points.z**2)
    assert ball == pytest.approx(10 - radius)


def test_an_ellipsoid_has_its_radii_along_its_axes(points: Points) -> None:
    inside = ellipsoid(points, Vector(2, 0, 0), Vector(5, 10, 20)) >= 0
    z, y, x = np.nonzero(inside)
    assert (x.min() - 30, x.max() - 30) == (-3, 7)
    assert (y.max() - 30, z.max() - 30) == (10, 20)


def test_an_outline_is_measured_along_the_ray_from_its_centre(points: Points) -> None:
    column = outline(points, centre_x=0.0, centre_y=0.0, half_width=20.0, half_depth=10.0)
    assert column[0, 30, 30 + 25] == pytest.approx(-5.0)
    assert column[0, 30 + 4, 30] == pytest.approx(6.0)


def test_a_capsule_is_the_distance_to_its_axis(points: Points) -> None:
    """The oracle walks along the axis in small steps."""
    start, end = Vector(-8, 3, -5), Vector(10, -4, 9)
    field = capsule(points, start, end, radii_mm=(4.0, 4.0))
    steps = np.linspace(0, 1, 400)[:, None]
    axis = np.array(start) + steps * (np.array(end) - np.array(start))
    for z, y, x in ((30, 30, 30), (20, 35, 20), (45, 28, 41), (33, 40, 33)):
        here = np.array([x - 30.0, y - 30.0, z - 30.0])
        distance = np.linalg.norm(axis - here, axis=1).min()
        assert field[z, y, x] == pytest.approx(max(4.0 - distance, -FAR_MM), abs=0.05)


def test_a_capsule_tapers(points: Points) -> None:
    field = capsule(points, Vector(0, 0, -20), Vector(0, 0, 20), radii_mm=(8.0, 2.0))
    widths = [np.count_nonzero(field[30 + z, 30] >= 0) for z in (-20, 0, 20)]
    assert widths == [17, 11, 5]


def test_a_tube_is_the_union_of_its_rods(points: Points) -> None:
    nodes = (Vector(-10, 0, -10), Vector(0, 0, 0), Vector(10, 5, 10))
    rods = [capsule(points, a, b, radii_mm=(3.0, 3.0)) for a, b in pairwise(nodes)]
    assert np.array_equal(tube(points, nodes, (3, 3, 3)), np.maximum(*rods))


def test_union_and_intersection_agree_with_sets() -> None:
    a, b = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    assert ((union(a, b) > 0) == [True, True, True, False]).all()
    assert ((intersection(a, b) > 0) == [True, False, False, False]).all()


def test_a_smooth_union_holds_both_shapes_and_fills_between_them() -> None:
    a, b = np.array([5.0, -1.0, -20.0]), np.array([-20.0, -1.0, -20.5])
    joined = smooth_union(a, b, blend_mm=10.0)
    assert np.all(joined >= np.maximum(a, b))
    assert joined[0] == 5.0
    assert joined[1] > 0


def test_upsampling_keeps_a_plane_exactly() -> None:
    fine = tuple(np.linspace(-10, 10, n) for n in (7, 11, 13))
    lattice = Lattice.around(fine, step_mm=3.0)
    p = lattice.points(np.float64)
    field = 2.0 * p.x - 3.0 * p.y + 0.5 * p.z + 1.0
    planes = np.stack([plane[0] for plane in Upsampler(lattice, fine, dtype=np.float64).planes(field[None])])
    z, y, x = np.meshgrid(*fine, indexing="ij")
    assert planes == pytest.approx(2.0 * x - 3.0 * y + 0.5 * z + 1.0)


def test_upsampling_a_ball_keeps_its_volume() -> None:
    fine = tuple(np.arange(-30, 31.0) for _ in range(3))
    lattice = Lattice.around(fine, step_mm=4.0)
    ball = ellipsoid(lattice.points(), Vector(0, 0, 0), Vector(20, 20, 20))
    n_inside = sum(int((plane[0] > 0).sum()) for plane in Upsampler(lattice, fine).planes(ball[None]))
    assert n_inside == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.05)
