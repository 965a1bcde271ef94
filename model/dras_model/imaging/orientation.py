"""Does the image agree with its stated orientation? Seen from the lungs, the spine and the heart.

A wrong affine gives plausible numbers for the wrong places, so the content is asked as well. It does not
depend on how the patient lies: prone and decubitus scans pass. A mirrored image of a usual chest and a true
image of situs inversus are one and the same, so both are named; which of them it is, no image tells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.coarse import coarsen
from dras_model.imaging.lungs import Lungs
from dras_model.imaging.volume import Grid, LabelMap, Spacing, Volume
from dras_model.results.codes import Code
from dras_model.results.study import StudyWarning

STEP_MM = 2.5  # of the lattice on which the lungs are looked at
# Upright lungs rise by 0.5 to 1.3 mm for each mm from their outline, upside down they sink by 0.3 to 1.3.
INVERTED_SLOPE = -0.25
# The spine keeps the lungs 16 to 33 mm farther apart behind than they are in front (eleven scans).
SWAPPED_GAP_MM = -8.0
# The heart lies 6 to 37 mm left of the spine; in deep expiration of phantoms, 1 mm right of it.
MIRRORED_HEART_MM = -4.0
LEAST_LUNG_VOXELS = 200
BONE_HU = 150.0
BONE_SHARE = 0.65  # of the slices; a contrast-filled heart is bright in fewer
SPINE_SHARE = 0.5
SPINE_MARGIN_MM = 10.0  # behind the lungs; the table begins farther off
SPINE_BAND_MM = 40.0  # to each side of the middle between the lungs
UPPER, HEART = (0.5, 0.85), (0.3, 0.6)  # of the height of the lungs, from their base
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Bearings:
    """What the content says; NaN where it says nothing. Positive values agree with the affine.

    `rise` in mm per mm, `gap_mm` is how much farther the lungs are apart behind than in front,
    `bone_ratio` bone behind over bone in front, `heart_mm` how far the heart lies left of the spine.
    """

    rise: float
    gap_mm: float
    bone_ratio: float
    heart_mm: float


def orientation_warnings(volume: Volume, lungs: Lungs) -> list[StudyWarning]:
    """Warn where lungs, spine or heart lie as they cannot in an image of the stated orientation (LAS)."""
    bearings = find_bearings(volume, lungs.map)
    doubts = []
    if bearings.rise < INVERTED_SLOPE:
        doubts.append(
            f"the lungs have their diaphragm at the top (their surfaces sink by {-bearings.rise:.1f} mm a mm)"
        )
    if bearings.gap_mm < SWAPPED_GAP_MM and not bearings.bone_ratio > 1.0:
        doubts.append(f"the spine lies in front (lungs {-bearings.gap_mm:.0f} mm farther apart there)")
    warnings = []
    if bearings.heart_mm < MIRRORED_HEART_MM:
        heart = f"the heart lies {-bearings.heart_mm:.0f} mm right of the spine"
        doubts.append(f"{heart}: a mirrored image, or situs inversus, or a shifted mediastinum")
        warnings.append(StudyWarning.of(Code.ATYPICAL, evidence=f"{heart}, unless the image is mirrored"))
    if doubts:
        evidence = "; ".join(doubts)
        warnings.insert(0, StudyWarning.of(Code.ORIENTATION_SUSPECT, severe=True, evidence=evidence))
    return warnings


def find_bearings(volume: Volume, lungs: LabelMap) -> Bearings:
    """Look at lungs (z, y, x) whose axes grow to the left, to the front and up."""
    small = _thinned(lungs)
    sides = {side: small.labels == side for side in (RIGHT, LEFT)}
    rise = _rise(sides, small.grid.spacing_mm)
    both = sides[RIGHT] | sides[LEFT]
    if not both.any():
        return Bearings(np.nan, np.nan, np.nan, np.nan)
    box = ndimage.find_objects(both.astype(np.uint8))[0]
    upside_down = rise < INVERTED_SLOPE
    gaps = _Gaps.between(sides, box, small.grid.spacing_mm[2])
    gap_mm = gaps.behind_minus_front_mm(_levels(box[0], UPPER, upside_down))
    in_front = gap_mm < SWAPPED_GAP_MM
    behind, before, spine_x = _spine(volume, small.grid, box, in_front=in_front)
    heart_x = gaps.centre(_levels(box[0], HEART, upside_down), in_front=in_front)
    return Bearings(
        rise=rise,
        gap_mm=gap_mm,
        bone_ratio=behind / before if before > 0 else np.inf if behind > 0 else np.nan,
        heart_mm=(heart_x - spine_x) * small.grid.spacing_mm[2],
    )


def _thinned(lungs: LabelMap) -> LabelMap:
    """Every n-th voxel of a label map, so that voxels are as large as fit below STEP_MM."""
    steps = [max(1, int(STEP_MM / size)) for size in lungs.grid.spacing_mm]
    labels = np.ascontiguousarray(lungs.labels[tuple(slice(None, None, step) for step in steps)])
    affine = lungs.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * np.array(steps)
    return LabelMap(labels, Grid((labels.shape[0], labels.shape[1], labels.shape[2]), affine))


def _rise(sides: dict[int, _Mask], spacing_mm: Spacing) -> float:
    """How steeply upper and lower surface of the lungs rise away from their outline seen from above.

    The apex is a dome and the base lies on one: upright, both surfaces rise inwards.
    """
    slopes, weights = [], []
    for lung in sides.values():
        outline = lung.any(axis=0)
        if np.count_nonzero(lung) < LEAST_LUNG_VOXELS or np.count_nonzero(outline) < 3:
            continue
        framed = np.pad(outline, 1)
        depth_mm = ndimage.distance_transform_edt(framed, sampling=spacing_mm[1:])[1:-1, 1:-1][outline]
        if np.ptp(depth_mm) < spacing_mm[1]:
            continue
        top = len(lung) - 1 - lung[::-1].argmax(axis=0)[outline]
        middle_mm = (top + lung.argmax(axis=0)[outline]) / 2.0 * spacing_mm[0]
        slopes.append(float(np.polyfit(depth_mm, middle_mm, 1)[0]))
        weights.append(int(np.count_nonzero(lung)))
    return float(np.average(slopes, weights=weights)) if slopes else float("nan")


def _levels(height: slice, share: tuple[float, float], upside_down: bool) -> slice:
    """Slices between two shares of the lungs' height, counted from their base."""
    low, high = (1.0 - share[1], 1.0 - share[0]) if upside_down else share
    size = height.stop - height.start
    return slice(height.start + int(low * size), height.start + int(high * size) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Gaps:
    """Between the inner edges of both lungs, row by row (z, y): width in mm and centre in columns.

    NaN in rows that do not hold both lungs; rows are those of the lungs' box.
    """

    width_mm: NDArray[np.float64]
    middle: NDArray[np.float64]

    @classmethod
    def between(cls, sides: dict[int, _Mask], box: tuple[slice, ...], column_mm: float) -> "_Gaps":
        rows = (slice(None), box[1])
        right, left = sides[RIGHT][rows], sides[LEFT][rows]
        inner_right = right.shape[2] - 1 - right[..., ::-1].argmax(axis=2)
        inner_left = left.argmax(axis=2)
        apart = right.any(axis=2) & left.any(axis=2) & (inner_left > inner_right)
        width = np.where(apart, (inner_left - inner_right - 1) * column_mm, np.nan)
        return cls(width, np.where(apart, (inner_left + inner_right) / 2.0, np.nan))

    def behind_minus_front_mm(self, levels: slice) -> float:
        """Median over slices of the narrowest gap in the rear third, less that in the front third."""
        third = max(1, self.width_mm.shape[1] * 3 // 10)
        found = []
        for rows in (slice(0, third), slice(-third, None)):
            part = self.width_mm[levels, rows]
            narrowest = part[np.isfinite(part).any(axis=1)]
            if len(narrowest) == 0:
                return float("nan")
            found.append(float(np.median(np.nanmin(narrowest, axis=1))))
        return found[0] - found[1]

    def centre(self, levels: slice, *, in_front: bool) -> float:
        """Column of the middle of what lies between the lungs, off the spine, where the heart is."""
        n_rows = self.width_mm.shape[1]
        low, high = int(0.4 * n_rows), int(0.9 * n_rows) + 1
        rows = slice(n_rows - high, n_rows - low) if in_front else slice(low, high)
        width, middle = self.width_mm[levels, rows], self.middle[levels, rows]
        known = np.isfinite(width) & (width > 0)
        if not known.any():
            return float("nan")
        return float(np.average(middle[known], weights=width[known]))


def _spine(
    volume: Volume, grid: Grid, box: tuple[slice, ...], *, in_front: bool
) -> tuple[float, float, float]:
    """Lasting bone near the midline behind and in front (in voxels), and the column of the spine.

    Columns are those of `grid`, which is thinned from the volume's.
    """
    steps = [round(a / b) for a, b in zip(grid.spacing_mm, volume.grid.spacing_mm, strict=True)]
    middle = (box[2].start + box[2].stop - 1) / 2.0
    reach = SPINE_BAND_MM / grid.spacing_mm[2]
    first = max(0, int(middle - reach))
    columns = slice(first * steps[2], (int(middle + reach) + 1) * steps[2])
    levels = slice(box[0].start * steps[0], box[0].stop * steps[0])
    band = np.ascontiguousarray(volume.hu[levels, :, columns])
    hu = coarsen(Volume(band, Grid((band.shape[0], band.shape[1], band.shape[2]), volume.grid.affine))).hu
    lasting = (hu > BONE_HU).mean(axis=0)
    half = min((box[1].start + box[1].stop) // 2, len(lasting) - 1)
    behind, before = (np.count_nonzero(part > BONE_SHARE) for part in (lasting[:half], lasting[half:]))
    third = (box[1].stop - box[1].start) * 3 // 10  # beyond it the descending aorta shines, too
    margin = int(SPINE_MARGIN_MM / grid.spacing_mm[1])
    rows = slice(max(0, box[1].start - margin), box[1].start + third)
    if in_front:
        rows = slice(box[1].stop - third, box[1].stop + margin)
    weight = np.clip(lasting[rows] - SPINE_SHARE, 0.0, None).sum(axis=0)
    if not weight.any():
        return float(behind), float(before), float("nan")
    return float(behind), float(before), first + float(np.average(np.arange(len(weight)), weights=weight))
