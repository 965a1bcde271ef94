"""What surrounds the lungs: wall, bones, abdomen, airway; schematic, and placed so that nothing is cut.

Each function returns fields in the mean thorax' frame (`shapes`); the Hounsfield units are `phantom`'s.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from dras_model.imaging.anatomy.shapes import (
    Field,
    Points,
    Vector,
    capsule,
    ellipsoid,
    intersection,
    outline,
    smooth_union,
    tube,
    union,
)
from dras_model.imaging.anatomy.thorax import Thorax, ThoraxFields, cage_field, thorax_fields

SKIN_HEIGHTS_MM = (-180.0, -100.0, -20.0, 50.0, 100.0, 135.0, 160.0, 190.0)
SKIN_HALF_WIDTH_MM = (160, 167, 171, 175, 180, 176, 150, 110)
SKIN_HALF_DEPTH_MM = (120, 129, 133, 128, 114, 99, 86, 76)
SKIN_CENTRE_Y_MM = (4, 4, 4, 8, 20, 32, 40, 42)
RIB_PITCH_MM, RIB_SLOPE, RIB_DROP = 25.0, 0.6, 0.35  # ribs fall forwards and away from the midline
DISC_PITCH_MM = 25.0
SHIFT_REACH_MM = 90.0  # from the midline; a shift fades within it
INTERCOSTAL_MM = 9.0  # from the pleura to the outside of the ribs
EPICARDIAL_FAT_MM = 2.5
SPINE_HEIGHTS_MM = (-180.0, -70.0, 0.0, 70.0, 170.0)
SPINE_Y_MM = (70.0, 72.0, 74.0, 66.0, 44.0)

TRACHEA = ((Vector(0, 0, 220), Vector(0, 4, 120), Vector(2, 14, 46)), (8.5, 8.5, 8.5))
RIGHT_BRONCHUS = (
    (Vector(2, 14, 46), Vector(-24, 15, 28), Vector(-38, 14, 8), Vector(-44, 14, -14)),
    (8.0, 6.8, 5.5, 4.5),
)
RIGHT_UPPER_BRONCHUS = ((Vector(-24, 15, 28), Vector(-46, 13, 34)), (5.0, 4.0))
LEFT_BRONCHUS = ((Vector(2, 14, 46), Vector(32, 19, 20), Vector(46, 20, 2)), (7.5, 6.2, 4.5))
LEFT_UPPER_BRONCHUS = ((Vector(32, 19, 20), Vector(48, 10, 22)), (5.0, 4.0))


class BodyFields(NamedTuple):
    """The fields from which tissue is chosen, later ones painted over earlier ones."""

    skin: Field
    lean: Field  # muscle, organs and vessels, as against fat
    bone: Field
    cartilage: Field
    liver: Field
    gas: Field  # in the stomach
    right: Field
    left: Field
    airway: Field  # lumen of trachea, main and lobar bronchi
    below_diaphragm: Field  # the abdomen, as far as the ribs cover it


def body_fields(
    points: Points,
    thorax: Thorax,
    *,
    fat_mm: float,
    septa: Field,
    shift_mm: float = 0.0,
    airway_width: float = 1.0,
) -> BodyFields:
    """Return every field of a body; `septa` is noise of unit variance that draws fat between muscles.

    `shift_mm` moves the mediastinum to the patient's left, `airway_width` scales the airways' radii.
    """
    skin = skin_field(points)
    points = _shifted(points, shift_mm)
    chest = thorax_fields(points, thorax)
    cavity = cavity_field(points, thorax, chest)
    domes = np.where(points.x < 4.0, chest.right_floor, chest.left_floor)
    below = intersection(cavity - 1.5, -domes - 2.5)
    organs, liver, gas = abdomen_fields(points, below)
    bone, cartilage = bone_fields(points, cavity)
    wall = wall_field(points, skin, cavity, fat_mm=fat_mm, septa=septa)
    vessels = great_vessels(points, chest.core.heart)
    diaphragm = intersection(cavity + 3.0, 3.0 - np.abs(domes + 1.5))
    lean = union(wall, organs, vessels, diaphragm)
    airway = airway_field(points, width=airway_width)
    return BodyFields(skin, lean, bone, cartilage, liver, gas, chest.right, chest.left, airway, below)


def _shifted(points: Points, shift_mm: float) -> Points:
    """The points of a thorax whose middle has moved to the left; its flanks have not."""
    if shift_mm == 0.0:
        return points
    return points._replace(x=points.x - shift_mm * np.exp(-((points.x / SHIFT_REACH_MM) ** 2)))


def skin_field(points: Points) -> Field:
    """The body's outline; the arms are up, so that the shoulders end it above."""
    width, depth, centre = (
        _along_z(points.z, SKIN_HEIGHTS_MM, v)
        for v in (SKIN_HALF_WIDTH_MM, SKIN_HALF_DEPTH_MM, SKIN_CENTRE_Y_MM)
    )
    return outline(points, centre_x=0.0, centre_y=centre, half_width=width, half_depth=depth, exponent=2.5)


def cavity_field(points: Points, thorax: Thorax, chest: ThoraxFields) -> Field:
    """The inside of the rib cage: both pleural cavities and what joins them before and behind."""
    both = replace(thorax.right, centre_x_mm=(0.0,) * 7, half_width_mm=(80, 80, 76, 72, 64, 54, 44))
    middle = cage_field(points, both) - 2.0
    return smooth_union(smooth_union(chest.right_cage, chest.left_cage, blend_mm=16.0), middle, blend_mm=16.0)


def wall_field(points: Points, skin: Field, cavity: Field, *, fat_mm: float, septa: Field) -> Field:
    """The muscles of the chest wall: thick beside the spine, at the shoulders and in front above."""
    x, y, z = points
    side = np.abs(x)
    pectoral = 14.0 * np.exp(-(((side - 75) / 40) ** 2) - ((y + 105) / 40) ** 2 - ((z - 50) / 50) ** 2)
    dorsal = 22.0 * np.exp(-(((side - 130) / 45) ** 2) - ((y - 60) / 55) ** 2 - ((z - 50) / 70) ** 2)
    spinal = 16.0 * np.exp(-(((side - 30) / 25) ** 2) - ((y - 120) / 30) ** 2)
    shoulders = 0.6 * (z - 92.0) - 0.12 * np.abs(side - 120.0)
    muscle = union(cavity + 12.0 + pectoral + dorsal + spinal, shoulders)
    muscle = intersection(muscle, skin - fat_mm)
    sheets = 4.0 * (np.abs(septa) - 0.16)  # fat where the noise changes sign
    return np.where(cavity < -INTERCOSTAL_MM, intersection(muscle, sheets), intersection(muscle, -cavity))


def rib_field(points: Points, cavity: Field) -> Field:
    """All ribs with their cartilage: a shell around the cavity, cut into oblique bands."""
    x, y, z = points
    descent = z - RIB_SLOPE * (y - 100.0) + RIB_DROP * np.minimum(np.abs(x), 120.0)
    beside = (descent + RIB_PITCH_MM / 2) % RIB_PITCH_MM - RIB_PITCH_MM / 2
    bands = 3.4 * (1.0 - np.hypot(beside / 5.5, (cavity + 6.5) / 3.4))
    return intersection(bands, 118.0 - z)


def bone_fields(points: Points, cavity: Field) -> tuple[Field, Field]:
    """Return bone and rib cartilage."""
    x, y, z = points
    ribs = rib_field(points, cavity)
    front = intersection(62.0 - np.abs(x) - 0.35 * np.minimum(z, 0.0), -y - 50.0)
    cartilage = intersection(ribs, front, z + 95.0)
    bones = (
        intersection(ribs, -front),
        sternum_field(points, cavity),
        shoulder_field(points, cavity),
        spine_field(points),
    )
    return union(*bones), cartilage


def sternum_field(points: Points, cavity: Field) -> Field:
    """Manubrium and body, on the front of the cavity."""
    x, y, z = points
    half_width = np.where(z > 62.0, 24.0, 15.0)
    plate = 5.0 - np.abs(cavity + 8.0)
    return intersection(plate, half_width - np.abs(x), -y - 20.0, z + 45.0, 98.0 - z)


def shoulder_field(points: Points, cavity: Field) -> Field:
    """Scapulae behind the ribs, collar bones, and the heads of the raised upper arms."""
    side = np.abs(points.x)
    mirrored = Points(side, points.y, points.z)
    plate = 2.6 - np.abs(cavity + 22.0 + 0.06 * (side - 90.0))
    width = 48.0 - np.abs(side - 104.0) - 0.25 * (100.0 - points.z)
    scapula = intersection(plate, width, points.y - 30.0, points.z + 10.0, 118.0 - points.z)
    clavicle = capsule(mirrored, Vector(18, -72, 104), Vector(120, -8, 140), radii_mm=(7.0, 6.0))
    humerus = capsule(mirrored, Vector(136, 28, 148), Vector(148, 24, 230), radii_mm=(20.0, 14.0))
    return union(scapula, clavicle, humerus)


def spine_field(points: Points) -> Field:
    """Vertebrae with discs between them, canal, spinous and transverse processes."""
    x, y, z = points
    side = np.abs(x)
    centre = _along_z(z, SPINE_HEIGHTS_MM, SPINE_Y_MM)
    behind = y - centre
    level = (z + DISC_PITCH_MM / 2) % DISC_PITCH_MM - DISC_PITCH_MM / 2  # 0 at mid-vertebra
    body = outline(points, centre_x=0.0, centre_y=centre, half_width=17.0, half_depth=14.5, exponent=2.4)
    body = intersection(body, DISC_PITCH_MM / 2 - 2.5 - np.abs(level))
    canal = 8.5 - np.hypot(x, behind - 22.0)
    ring = intersection(5.0 + canal, 9.0 - np.abs(level + 1.0))
    slant = 7.0 - np.abs(level - 8.0 + 0.35 * (behind - 30.0))
    spinous = intersection(3.2 - side, slant, behind - 28.0, 52.0 - behind)
    transverse = 5.0 - np.hypot(level - 2.0, behind - 20.0 - 0.35 * side)
    transverse = intersection(transverse, side - 8.0, 34.0 - side)
    return intersection(union(body, ring, spinous, transverse), -canal)


def great_vessels(points: Points, heart: Field) -> Field:
    """Heart, aorta with its arch, caval vein, pulmonary trunk and arteries, oesophagus."""
    aorta = (
        Vector(-6, -28, -10),
        Vector(-12, -32, 30),
        Vector(-2, -22, 58),
        Vector(14, 8, 64),
        Vector(22, 38, 48),
        Vector(22, 46, 10),
        Vector(18, 48, -60),
        Vector(8, 50, -190),
    )
    trunk = (Vector(18, -48, -8), Vector(20, -30, 22), Vector(30, 2, 30), Vector(46, 12, 24))
    right = (Vector(18, -24, 20), Vector(-10, -8, 18), Vector(-42, 2, 16))
    cava = (Vector(-22, -18, -20), Vector(-24, -18, 40), Vector(-18, -16, 90), Vector(-22, -14, 150))
    left_vein = (Vector(-18, -18, 84), Vector(20, -30, 96), Vector(34, -12, 150))
    atrium = ellipsoid(points, Vector(4, 2, -22), Vector(36, 20, 22))
    oesophagus = tube(points, (Vector(4, 26, 190), Vector(6, 28, 40), Vector(8, 26, -130)), (6, 6, 6))
    return union(
        intersection(heart - EPICARDIAL_FAT_MM, points.z + 98.0),
        atrium,
        tube(points, aorta, (14, 14, 13, 12, 12, 11.5, 11, 10)),
        tube(points, trunk, (13, 12, 11, 9)),
        tube(points, right, (10, 10, 8.5)),
        tube(points, cava, (9, 9, 8, 7)),
        tube(points, left_vein, (6, 6, 6)),
        oesophagus,
    )


def abdomen_fields(points: Points, below: Field) -> tuple[Field, Field, Field]:
    """Return all organs below the diaphragm, the liver alone, and the gas in the stomach."""
    x, y, z = points
    hilum = outline(points, centre_x=-10.0, centre_y=60.0, half_width=30.0, half_depth=42.0)
    liver = intersection(below, (45.0 - x - 0.35 * (y + 40.0) + 0.2 * (z + 90.0)) * 0.8, -hilum)
    spleen = intersection(below, ellipsoid(points, Vector(92, 52, -120), Vector(38, 48, 52)))
    stomach = intersection(below, ellipsoid(points, Vector(78, -34, -122), Vector(48, 50, 46)))
    gas = intersection(stomach - 4.0, -28.0 - y)
    return union(liver, spleen, stomach), liver, gas


def airway_field(points: Points, *, width: float = 1.0) -> Field:
    """The lumen of trachea, main and lobar bronchi; `width` scales their radii."""
    trees = (TRACHEA, RIGHT_BRONCHUS, RIGHT_UPPER_BRONCHUS, LEFT_BRONCHUS, LEFT_UPPER_BRONCHUS)
    return union(*(tube(points, nodes, [width * radius for radius in radii]) for nodes, radii in trees))


def _along_z(z: Field, heights_mm: tuple[float, ...], values: tuple[float, ...]) -> Field:
    spline = CubicSpline(heights_mm, values, bc_type="natural")
    return np.asarray(spline(np.clip(z, heights_mm[0], heights_mm[-1])).astype(z.dtype))
