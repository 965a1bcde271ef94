"""What of a phantom is drawn once: the fields of one person on a lattice, and the vessels on the scan's grid.

The lattice spans the whole thorax whatever is scanned, so that a seed is the same person at any matrix and
coverage. Which Hounsfield units a field becomes is `tissue`'s.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.anatomy.body import BodyFields, body_fields
from dras_model.imaging.anatomy.shapes import Field, Lattice, Points, Upsampler
from dras_model.imaging.anatomy.subject import Subject, make_subject
from dras_model.imaging.anatomy.thorax import thorax_fields
from dras_model.imaging.anatomy.vessels import AIRWAY_WALL_MM, beside, draw, grow
from dras_model.imaging.parallel import each_slice
from dras_model.imaging.phantom import findings
from dras_model.imaging.phantom.emphysema import emphysema_field, smooth_noise
from dras_model.imaging.phantom.spec import EmphysemaKind, PhantomSpec

LATTICE_MM = 3.0
SECTION = 8  # planes of the lattice drawn at once
THORAX_MM = (np.array([-162.0, 162.0]), np.array([-183.0, 207.0]), np.array([-195.0, 195.0]))  # z, y, x
FIELDS = (*(name for name in BodyFields._fields if name != "below_diaphragm"), "texture", "pattern")
N_END_VESSELS = 1600  # of one tree in one lung
HILUM_RADIUS_MM, PLEURA_FREE_MM = 6.5, 4.0
HILA = {  # x, y, z in the mean thorax' frame
    "right": {"artery": (-44.0, 8.0, 16.0), "vein": (-36.0, -2.0, -14.0)},
    "left": {"artery": (44.0, 8.0, 16.0), "vein": (36.0, -2.0, -14.0)},
}
LEAST_SUPPLIED = N_END_VESSELS // 40  # by an artery with a bronchus that can be seen

Axes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Planes = dict[str, NDArray[np.float32]]


class Drawing:
    """The anatomy of one spec; `axes_mm` are the voxels' positions along z, y and x.

    `vessels` (z, y, x) says how much of a voxel is vessel or wall of a segmental airway, 0 to 255; `bronchi` how
    much is the lumen of one, where a consolidation lets it be seen, None elsewhere. `inflation`
    is the lungs' volume against full inspiration.
    """

    def __init__(self, spec: PhantomSpec) -> None:
        z, y, x = (
            spec.grid.affine[2 - a, 3] + spec.grid.affine[2 - a, a] * np.arange(spec.grid.shape[a])
            for a in range(3)
        )
        self.axes_mm: Axes = (z, y, x)
        self.pixel_mm = spec.grid.spacing_mm[2]
        self.n_layers = len(spec.sub_slices_mm)
        subject = make_subject(spec.seed, inflation=spec.inflation, build=spec.build)
        shown = (z + spec.sub_slices_mm[0], z + spec.sub_slices_mm[-1])
        lattice = Lattice.around(
            [np.concatenate(ends) for ends in zip(THORAX_MM, (np.concatenate(shown), y, x), strict=True)],
            step_mm=LATTICE_MM,
        )
        self.names = (*FIELDS, *spec.findings.extra_fields)
        self._fields = _draw_fields(spec, lattice, subject)
        self._upsamplers = [Upsampler(lattice, (z + offset, y, x)) for offset in spec.sub_slices_mm]
        self.inflation = _relative_volume(spec, lattice, self._fields)
        self.bronchi = np.zeros(spec.grid.shape, np.uint8) if findings.DENSE in self.names else None
        self.vessels = _draw_vessels(
            spec, lattice, self._fields, subject=subject, axes_mm=self.axes_mm, lumen=self.bronchi
        )

    def planes(self, index: int, names: Sequence[str] = (), *, layer: int | None = None) -> Planes:
        """Return fields (y, x) of one slice by name, all without names; of its middle thin slice or a `layer`."""
        upsampler = self._upsamplers[self.n_layers // 2 if layer is None else layer]
        chosen = self._fields[[self.names.index(name) for name in names]] if names else self._fields
        return dict(zip(names or self.names, upsampler.plane(chosen, index), strict=True))


def _draw_fields(spec: PhantomSpec, lattice: Lattice, subject: Subject) -> NDArray[np.float32]:
    """Return FIELDS and those of the findings (k, z, y, x) on the lattice."""
    shape = tuple(len(axis) for axis in lattice.axes_mm)
    rng = np.random.default_rng([spec.seed, 2])
    septa = smooth_noise(rng, shape, sigma=3.0)
    texture = 1.4 * smooth_noise(rng, shape, sigma=0.6) + 0.6 * smooth_noise(rng, shape, sigma=4.0)
    points = subject.canonical(lattice.points())
    body = _draw_body(spec, subject, points, septa=septa)
    body, extra = findings.apply(
        body, points, spec.findings, edge=septa, rng=np.random.default_rng([spec.seed, 6])
    )
    fields = np.zeros((len(FIELDS) + len(extra), *shape), dtype=np.float32)
    for plane, field in zip(fields, (*body[: len(FIELDS) - 2], texture), strict=False):
        plane[...] = field
    for plane, field in zip(fields[len(FIELDS) :], extra.values(), strict=True):
        plane[...] = field
    if spec.emphysema.kind is not EmphysemaKind.NONE:
        lung = np.maximum(body.right, body.left)
        fields[FIELDS.index("pattern")] = emphysema_field(spec.emphysema.kind, lattice, lung, seed=spec.seed)
    return fields


def _draw_body(spec: PhantomSpec, subject: Subject, points: Points, *, septa: Field) -> BodyFields:
    """Return the fields of the body without findings, made a few planes at a time: they stay in the cache."""
    thorax, height = spec.findings.changed(subject.thorax), len(points.z)
    sections: dict[int, BodyFields] = {}

    def draw_section(number: int) -> None:
        planes = slice(number * SECTION, (number + 1) * SECTION)
        sections[number] = body_fields(
            Points(*(p[planes] if len(p) == height else p for p in points)),
            thorax,
            fat_mm=subject.fat_mm,
            septa=septa[planes],
            shift_mm=spec.findings.midline_shift_mm,
            airway_width=spec.findings.airway_width,
        )

    each_slice(draw_section, -(-height // SECTION))
    in_order = (sections[number] for number in sorted(sections))
    return BodyFields(*(np.concatenate(parts) for parts in zip(*in_order, strict=True)))


def _draw_vessels(
    spec: PhantomSpec,
    lattice: Lattice,
    fields: NDArray[np.float32],
    *,
    subject: Subject,
    axes_mm: Axes,
    lumen: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    """Return how much of each voxel is vessel or bronchial wall; `lumen` is painted where it is wanted."""
    coverage = np.zeros(spec.grid.shape, dtype=np.uint8)
    rng = np.random.default_rng([spec.seed, 5])
    for side, hilum in HILA.items():
        inside = np.argwhere(fields[FIELDS.index(side)] > PLEURA_FREE_MM)
        if len(inside) == 0:
            continue
        for kind, root in hilum.items():
            targets_mm = _places(lattice, inside[rng.integers(len(inside), size=N_END_VESSELS)], rng)
            tree = grow(subject.world(np.array([root]))[0], targets_mm, root_radius_mm=HILUM_RADIUS_MM)
            draw(coverage, tree, axes_mm=axes_mm)
            if kind == "artery":
                airways = beside(tree, least_supplied=LEAST_SUPPLIED)
                draw(coverage, airways, axes_mm=axes_mm, wall_mm=AIRWAY_WALL_MM)
                if lumen is not None:
                    draw(lumen, airways, axes_mm=axes_mm)
    return coverage


def _places(lattice: Lattice, index: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return positions (n, 3) in x, y, z somewhere in the lattice cells `index` (n, 3) in z, y, x."""
    centres = np.stack([lattice.axes_mm[axis][index[:, axis]] for axis in (2, 1, 0)], axis=1)
    return np.asarray(centres + rng.uniform(-0.5, 0.5, centres.shape) * LATTICE_MM)


def _relative_volume(spec: PhantomSpec, lattice: Lattice, fields: NDArray[np.float32]) -> float:
    if spec.inflation == 1.0:
        return 1.0
    now = np.maximum(fields[FIELDS.index("right")], fields[FIELDS.index("left")])
    subject = make_subject(spec.seed, build=spec.build)
    full = thorax_fields(subject.canonical(lattice.points()), subject.thorax)
    return np.count_nonzero(now > 0) / np.count_nonzero(np.maximum(full.right, full.left) > 0)
