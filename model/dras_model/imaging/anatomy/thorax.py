"""The lungs of a mean adult at full inspiration, from the shapes that bound them.

A lung is what lies inside its half of the rib cage, above its diaphragm and beside the mediastinum. The
numbers of `MEAN_THORAX` were fitted, by an optimiser and then by hand, until the lungs overlapped those of
the published COPDGene atlas (Dice 0.93 right, 0.94 left); no voxel of it is here. `Thorax` can be varied.
Millimetres; the origin is midway between the lungs, at the height of the hila.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from dras_model.imaging.anatomy.shapes import Field, Points, Vector, ellipsoid, intersection, outline, union

CAGE_HEIGHTS_MM = (-140.0, -80.0, -20.0, 30.0, 70.0, 100.0, 125.0)
CORE_HEIGHTS_MM = (-140.0, -70.0, 0.0, 60.0, 130.0)
RIGHT_SIDE, LEFT_SIDE = -1, 1  # sign of x
SEPTUM_MM = 3.0  # half of the least distance between the lungs

Profile = tuple[float, ...]  # values at the heights above


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """One pleural cavity without its floor: at each height a superellipse, closed by a cupola above.

    `centre_x_mm` is the distance from the midline.
    """

    side: int
    centre_x_mm: Profile
    centre_y_mm: Profile
    half_width_mm: Profile
    half_depth_mm: Profile
    cupola_mm: float
    top_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dome:
    """One half of the diaphragm: its summit, and how far from it the floor has fallen by `drop_mm`."""

    side: int
    summit: Vector
    drop_mm: float
    lateral_mm: float
    medial_mm: float
    anterior_mm: float
    posterior_mm: float
    power: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What lies between the lungs: spine, heart, great vessels, hila and the fat before them."""

    spine_x_mm: float
    spine_y_mm: Profile
    spine_half_width_mm: float
    spine_half_depth_mm: float
    aorta_x_mm: float
    aorta_before_spine_mm: float
    aorta_radius_mm: float
    heart: Vector
    heart_radii: Vector
    heart_turn: float
    vessels_x_mm: Profile
    vessels_y_mm: Profile
    vessels_half_width_mm: Profile
    vessels_half_depth_mm: Profile
    right_hilum: Vector
    right_hilum_radii: Vector
    left_hilum: Vector
    left_hilum_radii: Vector
    septum_x_mm: Profile
    septum_half_width_mm: Profile
    least_septum_mm: float = SEPTUM_MM


@dataclass(frozen=True, slots=True, kw_only=True)
class Thorax:
    """Everything that bounds the lungs of one person."""

    right: Cage
    left: Cage
    right_dome: Dome
    left_dome: Dome
    core: Core


class CoreFields(NamedTuple):
    """The parts of the mediastinum, each as a field."""

    spine: Field
    aorta: Field
    heart: Field
    vessels: Field
    right_hilum: Field
    left_hilum: Field
    septum: Field


class ThoraxFields(NamedTuple):
    """Both lungs, and what bounds them: each cage open below, each floor positive above, the core."""

    right: Field
    left: Field
    right_cage: Field
    left_cage: Field
    right_floor: Field
    left_floor: Field
    core: CoreFields


MEAN_THORAX = Thorax(
    right=Cage(
        side=RIGHT_SIDE,
        centre_x_mm=(73, 75, 60, 47, 51, 51, 42),
        centre_y_mm=(3, 3, 0, 6, 10, 21, 37),
        half_width_mm=(55, 70, 74, 75, 54, 43, 43),
        half_depth_mm=(92, 100, 104, 95, 78, 58, 37),
        cupola_mm=78,
        top_mm=136,
    ),
    left=Cage(
        side=LEFT_SIDE,
        centre_x_mm=(81, 75, 68, 40, 37, 58, 51),
        centre_y_mm=(1, -3, -2, 4, 9, 17, 33),
        half_width_mm=(53, 69, 67, 90, 81, 45, 37),
        half_depth_mm=(79, 94, 101, 96, 79, 58, 40),
        cupola_mm=84,
        top_mm=139,
    ),
    right_dome=Dome(
        side=RIGHT_SIDE,
        summit=Vector(-75, -43, -54),
        drop_mm=48,
        lateral_mm=74,
        medial_mm=67,
        anterior_mm=107,
        posterior_mm=100,
        power=1.7,
    ),
    left_dome=Dome(
        side=LEFT_SIDE,
        summit=Vector(80, -38, -76),
        drop_mm=36,
        lateral_mm=57,
        medial_mm=77,
        anterior_mm=171,
        posterior_mm=92,
    ),
    core=Core(
        spine_x_mm=9,
        spine_y_mm=(76, 90, 69, 76, 63),
        spine_half_width_mm=20,
        spine_half_depth_mm=63,
        aorta_x_mm=17,
        aorta_before_spine_mm=16,
        aorta_radius_mm=12,
        heart=Vector(14, -64, -68),
        heart_radii=Vector(52, 63, 82),
        heart_turn=0.92,
        vessels_x_mm=(-2, 17, 7, 1, 6),
        vessels_y_mm=(-19, -34, -26, -4, -4),
        vessels_half_width_mm=(26, 35, 42, 27, 30),
        vessels_half_depth_mm=(48, 14, 59, 38, 33),
        right_hilum=Vector(-15, 0, 22),
        right_hilum_radii=Vector(15, 15, 17),
        left_hilum=Vector(28, 2, 28),
        left_hilum_radii=Vector(17, 18, 18),
        septum_x_mm=(8, 6, -4, -8, -8),
        septum_half_width_mm=(5, 5, 3, 4, 4),
    ),
)


def thorax_fields(points: Points, thorax: Thorax) -> ThoraxFields:
    """Return the lungs and what bounds them."""
    core = core_fields(points, thorax.core)
    whole_core = union(*core)
    midline = points.x - _profile(thorax.core.septum_x_mm, points.z)
    cages, floors, lungs = [], [], []
    for cage, dome in ((thorax.right, thorax.right_dome), (thorax.left, thorax.left_dome)):
        cages.append(cage_field(points, cage))
        floors.append(dome_field(points, dome))
        lungs.append(intersection(cages[-1], floors[-1], -whole_core, cage.side * midline))
    return ThoraxFields(lungs[0], lungs[1], cages[0], cages[1], floors[0], floors[1], core)


def cage_field(points: Points, cage: Cage) -> Field:
    """The pleural cavity of one side, open below."""
    z = points.z
    rise = np.clip((z - cage.cupola_mm) / (cage.top_mm - cage.cupola_mm), 0.0, 1.0)
    cupola = np.sqrt(np.maximum(1.0 - rise**2, 1e-4))
    section = outline(
        points,
        centre_x=cage.side * _profile(cage.centre_x_mm, z),
        centre_y=_profile(cage.centre_y_mm, z),
        half_width=_profile(cage.half_width_mm, z) * cupola,
        half_depth=_profile(cage.half_depth_mm, z) * cupola,
        exponent=2.3,
    )
    return intersection(section, cage.top_mm - z)


def dome_field(points: Points, dome: Dome) -> Field:
    """What lies above one half of the diaphragm."""
    u = (points.x - dome.summit.x) * dome.side
    v = points.y - dome.summit.y
    q = (u / np.where(u > 0, dome.lateral_mm, dome.medial_mm)) ** 2
    q = q + (v / np.where(v > 0, dome.posterior_mm, dome.anterior_mm)) ** 2
    floor = dome.summit.z - dome.drop_mm * q ** (dome.power / 2.0)
    return np.asarray((points.z - floor) * 0.75)  # 0.75: the floor slopes by about 40 degrees


def core_fields(points: Points, core: Core) -> CoreFields:
    """The mediastinum, part by part."""
    z = points.z
    spine_y = _profile(core.spine_y_mm, z)
    cos, sin = np.cos(core.heart_turn), np.sin(core.heart_turn)
    dx, dy = points.x - core.heart.x, points.y - core.heart.y
    turned = Points(dx * cos + dy * sin, dy * cos - dx * sin, z - core.heart.z)
    return CoreFields(
        spine=outline(
            points,
            centre_x=core.spine_x_mm,
            centre_y=spine_y,
            half_width=core.spine_half_width_mm,
            half_depth=core.spine_half_depth_mm,
            exponent=2.2,
        ),
        aorta=outline(
            points,
            centre_x=core.aorta_x_mm,
            centre_y=spine_y - core.aorta_before_spine_mm,
            half_width=core.aorta_radius_mm,
            half_depth=core.aorta_radius_mm,
        ),
        heart=ellipsoid(turned, Vector(0, 0, 0), core.heart_radii, exponent=2.2),
        vessels=outline(
            points,
            centre_x=_profile(core.vessels_x_mm, z),
            centre_y=_profile(core.vessels_y_mm, z),
            half_width=_profile(core.vessels_half_width_mm, z),
            half_depth=_profile(core.vessels_half_depth_mm, z),
            exponent=2.2,
        ),
        right_hilum=ellipsoid(points, core.right_hilum, core.right_hilum_radii),
        left_hilum=ellipsoid(points, core.left_hilum, core.left_hilum_radii),
        septum=np.maximum(_profile(core.septum_half_width_mm, z), core.least_septum_mm)
        - np.abs(points.x - _profile(core.septum_x_mm, z)),
    )


def _profile(values: Profile, z: Field) -> Field:
    heights = CAGE_HEIGHTS_MM if len(values) == len(CAGE_HEIGHTS_MM) else CORE_HEIGHTS_MM
    spline = CubicSpline(heights, values, bc_type="natural")
    return np.asarray(spline(np.clip(z, heights[0], heights[-1])).astype(z.dtype))
