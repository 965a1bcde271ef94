"""Slices of one series become a stack: sorted by position, checked, on one grid.

Sorting is by the position along the slice normal and by nothing else: neither file names nor
instance numbers say where a slice lies. Geometry is never invented; what is missing is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.slices import Slice, Vector
from dras_model.imaging.volume import Grid
from dras_model.imaging.working_grid import MOST_UNAVERAGED, WHOLE, Factors, WorkingGrid, working_grid
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import StudyWarning

COSINE_TOLERANCE = 1e-3  # cosines arrive as rounded decimal text
SPACING_SHARE = 1e-3  # of a pixel's size; spacing is rounded text, too
SAME_POSITION_MM = 1e-2
OFF_GRID = 0.05  # of a step; a stack with slices farther off is interpolated at their true positions
OFF_LINE_PIXELS = 0.5  # of a slice from the straight line through all; positions are rounded text
LEAST_SLICES = 12
LEAST_EXTENT_MM = 100.0  # a child's lungs are longer
MOST_MISSING_PERCENT = 5.0
MOST_GAP_MM = 10.0
LEAST_SHARE = 0.8  # of a series' slices must share one geometry
TILT_TOLERANCE_DEGREES = 0.1
MOST_SIDE = 4096
_MOST_KINDS = 64  # of geometry that are tried as the commonest one


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in the order of their grid, and where each truly lies on it.

    `depths` (n,) are positions in slices along the grid's first axis: whole numbers where the series
    is regular. `shifts` (n, 2) are in-plane offsets (rows, columns) of a tilted gantry in pixels,
    zero without tilt. `left_out` says how many slices were not used, by reason. `native` is the grid of the
    slices; `grid` is the same, or a coarser one on which `factors` of its voxels (z, y, x) are averaged.
    """

    slices: tuple[Slice, ...]
    native: Grid
    grid: Grid
    factors: Factors
    depths: NDArray[np.float64]
    shifts: NDArray[np.float64]
    warnings: tuple[StudyWarning, ...]
    left_out: Mapping[str, int]

    @property
    def regular(self) -> bool:
        """Whether each slice is one plane of the grid, as it is."""
        return len(self.slices) == self.native.shape[0] and bool(np.all(self.depths == np.rint(self.depths)))

    @property
    def averaged(self) -> bool:
        """Whether several voxels of the slices become one."""
        return self.factors != WHOLE


def build_stack(slices: Sequence[Slice]) -> Stack:
    """Sort and check the slices of one series (of one geometry, mostly) and lay them on a grid.

    The order in which they are given does not matter. Raises StudyRefused: GEOMETRY_MISSING,
    INCONSISTENT_GEOMETRY, DUPLICATE_POSITIONS, TOO_FEW_SLICES, MISSING_SLICES, VOLUME_TOO_LARGE.
    """
    given = sorted(slices, key=lambda item: (item.uid, item.frame, str(item.path)))
    _require_geometry(given)
    alike = _largest_geometry(given)
    row, column = _orthonormal(alike[0])
    normal = np.cross(row, column)
    kept = _one_acquisition(alike, normal)
    left_out = {
        "of another geometry": len(given) - len(alike),
        "of another acquisition": len(alike) - len(kept),
    }
    kept, positions = _sorted(kept, normal)
    along = (positions - positions[0]) @ normal
    step_mm, n_planes = _regular_step(along)
    rows_mm, columns_mm = _spacing(alike[0])
    shifts, warnings = _shifts(positions, along, row / columns_mm, column / rows_mm)
    depths = along / step_mm
    if len(kept) == n_planes and np.abs(depths - np.rint(depths)).max() <= OFF_GRID:
        depths = np.rint(depths)
    else:
        n_missing, gap_mm = n_planes - len(kept), float(np.diff(along).max())
        warnings.append(StudyWarning.of(Code.INTERPOLATED_SLICES, n_missing=n_missing, gap_mm=gap_mm))
    affine = np.eye(4)
    affine[:3, :3] = np.stack([normal * step_mm, column * rows_mm, row * columns_mm], axis=1)
    affine[:3, 3] = positions[0] - shifts[0, 0] * rows_mm * column - shifts[0, 1] * columns_mm * row
    native = Grid((n_planes, alike[0].rows, alike[0].columns), affine)
    working = _working(native, warnings)
    reasons = {reason: count for reason, count in left_out.items() if count}
    return Stack(
        slices=tuple(kept),
        native=native,
        grid=working.grid,
        factors=working.factors,
        depths=depths,
        shifts=shifts,
        warnings=tuple(warnings),
        left_out=reasons,
    )


def _working(native: Grid, warnings: list[StudyWarning]) -> WorkingGrid:
    """Return the grid to analyse, and add the warning where that is a coarser one."""
    if max(native.shape) > MOST_SIDE:
        raise StudyRefused(
            Code.VOLUME_TOO_LARGE, megavoxels=native.n_voxels / 1e6, limit=MOST_UNAVERAGED / 1e6
        )
    working = working_grid(native)
    if working.factors != WHOLE:
        z, y, x = working.factors
        z_mm, y_mm, x_mm = working.grid.spacing_mm
        warnings.append(
            StudyWarning.of(
                Code.AVERAGED_VOXELS,
                block=f"{x} x {y} x {z}",
                size=f"{x_mm:.2f} x {y_mm:.2f} x {z_mm:.2f} mm",
                megavoxels=native.n_voxels / 1e6,
            )
        )
    return working


def _require_geometry(slices: Sequence[Slice]) -> None:
    for keyword, attribute in (
        ("ImagePositionPatient", "position"),
        ("ImageOrientationPatient", "row"),
        ("PixelSpacing", "spacing_mm"),
    ):
        lacking = sum(getattr(item, attribute) is None for item in slices)
        if lacking:
            raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=lacking, keyword=keyword)
    if bad := sum(min(_spacing(item)) <= 0 for item in slices):
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=bad, keyword="PixelSpacing")
    bad = sum(not _orthogonal(item) for item in slices)
    if bad:
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=bad, keyword="ImageOrientationPatient")
    if bad := sum(min(item.rows, item.columns) < 2 for item in slices):
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=bad, keyword="Rows or Columns")


def _orthogonal(item: Slice) -> bool:
    row, column = _cosines(item)
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    return bool(np.all(np.abs(lengths - 1.0) < 0.01) and abs(row @ column) < COSINE_TOLERANCE * 10)


def _cosines(item: Slice) -> tuple[Vector, Vector]:
    if item.row is None or item.column is None:
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=1, keyword="ImageOrientationPatient")
    return item.row, item.column


def _spacing(item: Slice) -> tuple[float, float]:
    if item.spacing_mm is None:
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=1, keyword="PixelSpacing")
    return item.spacing_mm


def _orthonormal(item: Slice) -> tuple[Vector, Vector]:
    """Return the row and column cosines, freed from the rounding of their decimal text."""
    row, column = _cosines(item)
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _largest_geometry(slices: Sequence[Slice]) -> list[Slice]:
    """Keep the slices of the commonest matrix, spacing and orientation; a localizer drops out here."""
    cosines = np.array([np.concatenate(_cosines(item)) for item in slices])
    spacing = np.array([_spacing(item) for item in slices])
    matrix = np.array([(item.rows, item.columns) for item in slices])
    best = np.zeros(len(slices), dtype=bool)
    tried = np.zeros(len(slices), dtype=bool)
    for _ in range(_MOST_KINDS):
        left = np.nonzero(~tried)[0]
        if left.size == 0:
            break
        n = left[0]
        alike = np.all(matrix == matrix[n], axis=1)
        alike &= np.all(np.abs(spacing - spacing[n]) <= SPACING_SHARE * spacing[n], axis=1)
        alike &= np.all(np.abs(cosines - cosines[n]) <= 2 * COSINE_TOLERANCE, axis=1)
        tried |= alike
        if alike.sum() > best.sum():
            best = alike
    if best.sum() < LEAST_SHARE * len(slices):
        raise StudyRefused(
            Code.INCONSISTENT_GEOMETRY,
            what="matrix, pixel spacing or orientation",
            found=f"the commonest kind is that of {best.sum()} of {len(slices)} slices",
        )
    return [item for item, kept in zip(slices, best, strict=True) if kept]


def _one_acquisition(slices: list[Slice], normal: Vector) -> list[Slice]:
    """Keep the largest acquisition where several cover the same stretch; two breaths are never mixed.

    Acquisitions that follow each other along the patient (step and shoot) stay together.
    """
    groups: dict[str, list[Slice]] = {}
    for item in slices:
        groups.setdefault(item.acquisition_key, []).append(item)
    if len(groups) == 1:
        return slices
    along = {key: np.sort([_position(item) @ normal for item in group]) for key, group in groups.items()}
    furthest = -np.inf
    for extent in sorted(along.values(), key=lambda extent: (extent[0], extent[-1])):
        step_mm = float(np.median(np.diff(extent))) if extent.size > 1 else 0.0
        if extent[0] < furthest - step_mm - SAME_POSITION_MM:
            return max(groups.values(), key=lambda group: (len(group), _natural(group[0].acquisition_key)))
        furthest = max(furthest, float(extent[-1]))
    return slices


def _natural(key: str) -> tuple[int, ...]:
    """Order acquisition numbers as numbers, the first one being the greatest."""
    return tuple(-int(part) if part.isdecimal() else 0 for part in key.split("/"))


def _sorted(slices: list[Slice], normal: Vector) -> tuple[list[Slice], Vector]:
    """Sort along the normal; refuse slices that share a place, and stacks too short for a chest."""
    slices = sorted(slices, key=lambda item: float(_position(item) @ normal))
    positions = np.array([_position(item) for item in slices])
    gaps = np.diff(positions @ normal)
    if duplicates := int(np.sum(gaps < SAME_POSITION_MM)):
        raise StudyRefused(Code.DUPLICATE_POSITIONS, n_duplicates=duplicates)
    extent_mm = float(gaps.sum())
    if len(slices) < LEAST_SLICES or extent_mm < LEAST_EXTENT_MM:
        raise StudyRefused(
            Code.TOO_FEW_SLICES,
            n_slices=len(slices),
            extent_mm=extent_mm,
            least_slices=LEAST_SLICES,
            least_extent_mm=LEAST_EXTENT_MM,
        )
    return slices, positions


def _position(item: Slice) -> Vector:
    if item.position is None:
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=1, keyword="ImagePositionPatient")
    return item.position


def _regular_step(along: NDArray[np.float64]) -> tuple[float, int]:
    """Return the step in mm and the number of planes, those of missing slices included."""
    gaps = np.diff(along)
    multiples = np.maximum(np.rint(gaps / np.median(gaps)), 1)
    missing = int(np.sum(multiples - 1))
    expected = len(along) + missing
    too_wide = gaps.max() > MOST_GAP_MM + SAME_POSITION_MM
    if missing and (100.0 * missing / expected > MOST_MISSING_PERCENT or too_wide):
        raise StudyRefused(
            Code.MISSING_SLICES,
            n_missing=missing,
            n_expected=expected,
            gap_mm=float(gaps.max()),
            most_percent=MOST_MISSING_PERCENT,
            most_gap_mm=MOST_GAP_MM,
        )
    if too_wide:
        raise StudyRefused(
            Code.INCONSISTENT_GEOMETRY, what="the step between slices", found=f"up to {gaps.max():.1f} mm"
        )
    return float(along[-1] / (expected - 1)), expected


def _shifts(
    positions: Vector, along: Vector, per_column: Vector, per_row: Vector
) -> tuple[NDArray[np.float64], list[StudyWarning]]:
    """In-plane offsets (rows, columns) of a tilted gantry in pixels, and the warning of a tilt.

    `per_column` and `per_row` (3,) turn millimetres in the patient into pixels along a row and a column.
    """
    moved = positions - positions[0]
    drift = np.stack([moved @ per_row, moved @ per_column], axis=1)
    slope = (along @ drift) / (along @ along)
    off_line = float(np.abs(drift - np.outer(along, slope)).max())
    if off_line > OFF_LINE_PIXELS:
        raise StudyRefused(
            Code.INCONSISTENT_GEOMETRY,
            what="the in-plane position",
            found=f"slices lie up to {off_line:.1f} pixels off a straight line",
        )
    tangent = np.hypot(slope[0] / np.linalg.norm(per_row), slope[1] / np.linalg.norm(per_column))
    degrees = float(np.degrees(np.arctan(tangent)))
    if degrees < TILT_TOLERANCE_DEGREES:
        return np.zeros_like(drift), []
    return drift - drift[len(drift) // 2], [StudyWarning.of(Code.TILT, degrees=degrees)]
