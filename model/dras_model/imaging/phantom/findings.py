"""What a thorax can hold beside healthy lungs: effusion, consolidation, bullae, bowel gas, a lung that is missing.

Each finding is a field in the mean thorax' frame, like the anatomy it changes; its Hounsfield units are
`tissue`'s. A consolidated lung is lung, an effusion is not.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from dras_model.imaging.anatomy.body import BodyFields
from dras_model.imaging.anatomy.shapes import Field, Points, Vector, ellipsoid, intersection, union
from dras_model.imaging.anatomy.thorax import Thorax

FLUID, DENSE, BULLA = "fluid", "dense", "bulla"
EXTRA_FIELDS = (FLUID, DENSE, BULLA)
NOWHERE_MM = -20.0
JOINED_MM = -20.0  # half of the distance between lungs that touch: the mediastinum keeps none
EDGE_MM = 3.0  # a consolidation ends raggedly
STOMACH = (Vector(74, -20, -112), Vector(60, 66, 40))
COLON = (Vector(-84, -72, -72), Vector(46, 26, 30))
DIAPHRAGM_MM = 3.0  # between gas and lung
BULLA_MM = (12.0, 28.0)


class Side(StrEnum):
    """One of the lungs."""

    RIGHT = "right"
    LEFT = "left"


class Place(StrEnum):
    """Where a consolidation begins: at the apex, behind at the base, or at the side of the chest."""

    APEX = "apex"
    BASE = "base"
    FLANK = "flank"


@dataclass(frozen=True, slots=True)
class Findings:
    """Fractions are of the volume of the lung that is affected; the default is a chest without findings.

    `absent` removes one lung, its space holds fluid and the mediastinum moves by `shift_mm` towards it.
    """

    absent: Side | None = None
    shift_mm: float = 25.0
    effusion: Side | None = None
    effusion_fraction: float = 0.2
    consolidation: Side | None = None
    consolidation_fraction: float = 0.3
    consolidation_place: Place = Place.APEX
    bullae: int = 0
    stomach_gas: bool = False
    colon_gas: bool = False
    airway_width: float = 1.0
    joined: bool = False

    def __post_init__(self) -> None:
        for name in ("absent", "effusion", "consolidation"):
            if (side := getattr(self, name)) is not None:
                object.__setattr__(self, name, Side(side))
        object.__setattr__(self, "consolidation_place", Place(self.consolidation_place))
        if not all(0.0 < f <= 0.6 for f in (self.effusion_fraction, self.consolidation_fraction)):
            raise ValueError("a finding takes between 0 and 0.6 of a lung")
        if not 0.5 <= self.airway_width <= 2.5 or self.bullae < 0:
            raise ValueError("an airway is 0.5 to 2.5 times as wide as usual; bullae are counted from 0")

    @property
    def extra_fields(self) -> tuple[str, ...]:
        """The fields that these findings need beside those of the body."""
        used = (self.absent or self.effusion, self.consolidation, self.bullae)
        return tuple(name for name, is_used in zip(EXTRA_FIELDS, used, strict=True) if is_used)

    @property
    def midline_shift_mm(self) -> float:
        """How far the mediastinum lies from its place, to the patient's left."""
        return {None: 0.0, Side.RIGHT: -self.shift_mm, Side.LEFT: self.shift_mm}[self.absent]

    def changed(self, thorax: Thorax) -> Thorax:
        """The thorax whose lungs touch, where they do."""
        if not self.joined:
            return thorax
        core = replace(thorax.core, septum_half_width_mm=(JOINED_MM,) * 5, least_septum_mm=JOINED_MM)
        return replace(thorax, core=core)


def apply(
    body: BodyFields, points: Points, findings: Findings, *, edge: Field, rng: np.random.Generator
) -> tuple[BodyFields, dict[str, Field]]:
    """Return the body with its findings, and the fields of `findings.extra_fields`.

    `edge` is noise of unit variance that frays a consolidation.
    """
    extra: dict[str, Field] = {}
    lungs = {Side.RIGHT: body.right, Side.LEFT: body.left}
    fluid = np.full_like(body.right, NOWHERE_MM)
    if findings.absent:
        fluid = lungs[findings.absent]
        lungs[findings.absent] = np.full_like(fluid, NOWHERE_MM)
    if findings.effusion:
        lung = lungs[findings.effusion]
        level = _share(_dependent(points), lung, findings.effusion_fraction)
        fluid = union(fluid, intersection(lung, level))
        lungs[findings.effusion] = intersection(lung, -level)
    if findings.consolidation:
        lung = lungs[findings.consolidation]
        where = _places(points, findings) + EDGE_MM * edge
        extra[DENSE] = intersection(lung, _share(where, lung, findings.consolidation_fraction))
    if findings.bullae:
        extra[BULLA] = _bullae(points, union(*lungs.values()), findings.bullae, rng)
    if FLUID in findings.extra_fields:
        extra[FLUID] = fluid
    gas = _bowel_gas(body, points, findings)
    return body._replace(right=lungs[Side.RIGHT], left=lungs[Side.LEFT], gas=gas), extra


def _share(field: Field, lung: Field, fraction: float) -> Field:
    """Return the field, moved so that it is positive in that fraction of the lung."""
    inside = field[lung > 0]
    return np.asarray(field - np.quantile(inside, 1.0 - fraction)) if inside.size else field


def _dependent(points: Points) -> Field:
    """Fluid of a lying patient: behind and below, with a meniscus that climbs along the chest wall."""
    beside = np.abs(np.abs(points.x) - 75.0)
    return np.asarray(0.85 * points.y - 0.5 * points.z + 0.003 * beside**2)


def _places(points: Points, findings: Findings) -> Field:
    match findings.consolidation_place:
        case Place.APEX:  # above an oblique fissure
            return np.asarray(0.94 * points.z - 0.34 * points.y)
        case Place.BASE:  # behind and below it
            return np.asarray(-0.74 * points.z + 0.67 * points.y)
        case _:
            side = -1.0 if findings.consolidation is Side.RIGHT else 1.0
            return -np.asarray(
                np.sqrt((points.x - side * 125) ** 2 + (points.y - 20) ** 2 + (points.z - 10) ** 2)
            )


def _bullae(points: Points, lung: Field, number: int, rng: np.random.Generator) -> Field:
    """Thin-walled pockets of air under the pleura, most of them in the upper half."""
    x, y, z = (np.broadcast_to(p, lung.shape) for p in points)
    shallow = np.flatnonzero((lung > 4.0) & (lung < 10.0) & (np.abs(x) > 40.0) & (z > -20.0))
    field = np.full_like(lung, NOWHERE_MM)
    for place in rng.choice(shallow, size=number, replace=False):
        centre = Vector(float(x.flat[place]), float(y.flat[place]), float(z.flat[place]))
        radius = float(rng.uniform(*BULLA_MM))
        field = np.maximum(field, ellipsoid(points, centre, Vector(radius, 0.8 * radius, 1.2 * radius)))
    return intersection(field, lung - 1.0)


def _bowel_gas(body: BodyFields, points: Points, findings: Findings) -> Field:
    """Gas under the diaphragm: a full stomach on the left, the colon before the liver on the right."""
    gas = body.gas
    below = -DIAPHRAGM_MM - union(body.right, body.left)
    for is_there, (centre, radii) in ((findings.stomach_gas, STOMACH), (findings.colon_gas, COLON)):
        if is_there:
            pocket = ellipsoid(points, centre, radii)
            gas = union(gas, intersection(pocket, below, body.below_diaphragm))
    return gas
