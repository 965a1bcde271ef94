"""Every region as a union of disjoint cells: a lung voxel is labelled once, whatever the number of regions.

A cell is what one lung (or lobe), third, half and depth have in common. Thirds from apex to base and halves from
front to back are of equal volume within each lung, as in the Chest Imaging Platform; a slice or row is never
split unless the axes are oblique, so parts of a coarse scan differ by up to one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.parallel import each_slab
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import LOBES, Region
from dras_model.scores.lung_values import LungValues
from dras_model.scores.pleura import deep

LEVEL_MM = 0.1  # heights of an oblique volume are told apart to twice this
MARGIN = 4  # voxels around the lungs, so that their surface is seen
THIRDS, HALVES = ("basal", "middle", "apical"), ("ventral", "dorsal")
SIDES: tuple[tuple[int, Region], ...] = ((RIGHT, Region.RIGHT), (LEFT, Region.LEFT))
POSTERIOR, SUPERIOR = 1, 2  # axes of the patient (LPS)
# Values of a lobe mask, those of the LTRCLobes labels of lungmask.
LOBE_LABELS: Mapping[int, Region] = {
    1: Region.LEFT_UPPER_LOBE,
    2: Region.LEFT_LOWER_LOBE,
    3: Region.RIGHT_UPPER_LOBE,
    4: Region.RIGHT_MIDDLE_LOBE,
    5: Region.RIGHT_LOWER_LOBE,
}
_PLACES = (Region.RIGHT, Region.LEFT, *LOBES)  # of a voxel: a lung without a lobe, or a lobe
N_CELLS = len(_PLACES) * 3 * 2 * 2 + 1  # 0 is outside


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """`index` (z, y, x) says which cell each voxel of `box`, cut out of `grid`, belongs to, 0 outside the lungs.

    `of_voxels` (n,) is the same of the lung voxels alone, in their order. `members` lists the cells of every region
    that is known; without lobes given, lobes are not.
    """

    grid: Grid
    box: Box
    index: NDArray[np.uint8]
    of_voxels: NDArray[np.uint8]
    members: Mapping[Region, NDArray[np.intp]]

    def values(self, image: Volume | LungValues) -> LungValues:
        """Return the values of the lungs' voxels in an image of the same grid."""
        if isinstance(image, LungValues):
            return image
        return LungValues(image.grid, image.hu[self.box][self.index > 0])

    def labels(self, regions: tuple[Region, ...]) -> NDArray[np.uint8]:
        """Return 1, 2, ... (z, y, x) where the disjoint `regions` are, in their order."""
        return self.labels_of(regions)[self.index]

    def labels_of(self, regions: tuple[Region, ...]) -> NDArray[np.uint8]:
        """Return 1, 2, ... (256,) for the cells of the disjoint `regions`, in their order, and 0 for others."""
        table = np.zeros(256, dtype=np.uint8)
        for label, region in enumerate(regions, start=1):
            table[self.members[region]] = label
        return table


def find_cells(lungs: LabelMap, *, peel_mm: float, lobes: LabelMap | None = None) -> Cells:
    """Label every lung voxel with its cell; `lobes` holds LOBE_LABELS.

    A lobe's voxel in the other lung belongs to none, and other labels to no lobe. Raises StudyRefused
    MASK_GEOMETRY where `lobes` has other voxels than `lungs`, MASK_INVALID where it has no lobe.
    """
    if lobes is not None:
        _require_lobes(lobes, lungs)
    box = bounding_box(lungs.labels, (MARGIN, MARGIN, MARGIN)) or CORNER
    labels = lungs.labels[box]
    places = None if lobes is None else lobes.labels[box]
    index = np.zeros(labels.shape, dtype=np.uint8)

    def number(sides: slice) -> None:
        for label, side in SIDES[sides]:
            mask = labels == label
            parts = _Parts(mask, lungs.grid, peel_mm)
            of_lobe = _lobes_of(side)
            for z in np.flatnonzero(
                mask.any(axis=(1, 2))
            ):  # whole arrays a lobe mask would be paid for twice
                place = of_lobe[0] if places is None else of_lobe[places[z]]
                np.copyto(
                    index[z], place * np.uint8(12) + parts.of_slice(int(z)) + np.uint8(1), where=mask[z]
                )

    each_slab(number, len(SIDES))  # one lung a thread; they share no voxel
    return Cells(lungs.grid, box, index, index[index > 0], _members(with_lobes=lobes is not None))


def geometry_refused(mask: Grid, scan: Grid) -> StudyRefused:
    """Return the refusal of a mask and an image that do not share their voxels."""
    return StudyRefused(Code.MASK_GEOMETRY, mask=_told(mask), scan=_told(scan))


def _told(grid: Grid) -> str:
    size = " x ".join(map(str, grid.shape[::-1]))
    return f"{size} voxels of {' x '.join(f'{mm:.3f}' for mm in grid.spacing_mm[::-1])} mm"


def _require_lobes(lobes: LabelMap, lungs: LabelMap) -> None:
    if not lobes.grid.same_as(lungs.grid):
        raise geometry_refused(lobes.grid, lungs.grid)
    present = np.zeros(256, dtype=np.int64)
    for plane in lobes.labels:  # a count of the whole map would take eight bytes a voxel
        present += np.bincount(plane.ravel(), minlength=256)
    values = [int(value) for value in np.nonzero(present)[0] if value]
    if not LOBE_LABELS.keys() & set(values):
        found = ", ".join(str(value) for value in values[:8]) or "none"
        allowed = ", ".join(f"{label} {lobe.value.replace('_', ' ')}" for label, lobe in LOBE_LABELS.items())
        raise StudyRefused(Code.MASK_INVALID, reason=f"its labels are {found}, those of lobes are {allowed}")


def _lobes_of(side: Region) -> NDArray[np.uint8]:
    """Return the place (256,) of each value of a lobe mask, for voxels of one lung."""
    table = np.full(256, _PLACES.index(side), dtype=np.uint8)
    for value, lobe in LOBE_LABELS.items():
        if lobe.value.startswith(side.value):
            table[value] = _PLACES.index(lobe)
    return table


def _members(*, with_lobes: bool) -> dict[Region, NDArray[np.intp]]:
    """List the cells of each region, by the order in which `find_cells` numbers them."""
    members: dict[Region, list[int]] = {region: [] for region in Region if with_lobes or region not in LOBES}
    cell = 0
    for place, third, half, core in product(_PLACES, THIRDS, HALVES, (Region.PEEL, Region.CORE)):
        cell += 1
        if place in LOBES and not with_lobes:
            continue
        side = Region(place.value.partition("_")[0])
        parts = {Region.WHOLE, side, place, Region(third), Region(f"{side}_{third}"), Region(half), core}
        for region in parts:
            members[region].append(cell)
    return {region: np.array(cells, dtype=np.intp) for region, cells in members.items()}


class _Parts:
    """Third, half and depth of the voxels of one lung (z, y, x), as one number of 0 to 11."""

    def __init__(self, mask: NDArray[np.bool_], grid: Grid, peel_mm: float) -> None:
        self._thirds, self._halves = (
            np.broadcast_to(_parts(mask, grid.affine[axis, :3], n), mask.shape)
            for axis, n in ((SUPERIOR, 3), (POSTERIOR, 2))
        )
        self._deep = deep(mask, grid.spacing_mm, peel_mm)

    def of_slice(self, z: int) -> NDArray[np.uint8]:
        """Return it of a slice (y, x); outside the lung it means nothing."""
        part = self._thirds[z] * np.uint8(2) + self._halves[z]
        return np.asarray(part * np.uint8(2) + self._deep[z])


def _parts(mask: NDArray[np.bool_], steps_mm: NDArray[np.float64], n: int) -> NDArray[np.uint8]:
    """Part of each voxel, 0 to n - 1, each of an n-th of the mask's volume along one axis of the patient.

    `steps_mm` (3,) is how far a step along z, y and x goes along it. The result broadcasts to the mask (z, y, x).
    """
    along = np.abs(steps_mm) > 1e-9
    if np.count_nonzero(along) > 1:
        return _oblique_parts(mask, steps_mm, n)
    axis = int(np.argmax(along))
    counts = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
    parts = _parts_of_levels(steps_mm[axis] * np.arange(mask.shape[axis]), counts, n)
    return parts.reshape([-1 if a == axis else 1 for a in range(3)])


def _oblique_parts(mask: NDArray[np.bool_], steps_mm: NDArray[np.float64], n: int) -> NDArray[np.uint8]:
    """Find the parts slice by slice: the heights of a whole scan would take ten times its memory."""
    ups, rows, columns = (step * np.arange(size) for step, size in zip(steps_mm, mask.shape, strict=True))
    within, of_slice = _levels(rows[:, None] + columns), _levels(ups)
    n_levels = int(within.max() + of_slice.max()) + 1
    counts = np.zeros(n_levels, dtype=np.int64)
    for plane, level in zip(mask, of_slice, strict=True):
        counts += np.bincount(within[plane] + level, minlength=n_levels)
    of_level = _parts_of_levels(np.arange(n_levels), counts, n)
    parts = np.zeros(mask.shape, dtype=np.uint8)
    for found, plane, level in zip(parts, mask, of_slice, strict=True):
        found[plane] = of_level[within[plane] + level]
    return parts


def _levels(heights_mm: NDArray[np.float64]) -> NDArray[np.int32]:
    """Heights in whole steps of LEVEL_MM, the lowest 0."""
    steps: NDArray[np.int32] = np.rint((heights_mm - heights_mm.min()) / LEVEL_MM).astype(np.int32)
    return steps


def _parts_of_levels(heights: NDArray[np.generic], counts: NDArray[np.integer], n: int) -> NDArray[np.uint8]:
    """Part of each level: the one in which the middle of its voxels falls, counted from the lowest height."""
    order = np.argsort(heights, kind="stable")
    cumulated = np.cumsum(counts[order])
    total = max(int(cumulated[-1]), 1) if len(cumulated) else 1
    middle = (cumulated - counts[order] / 2.0) / total
    parts = np.empty(len(heights), dtype=np.uint8)
    parts[order] = np.minimum((middle * n).astype(np.uint8), n - 1)
    return parts
