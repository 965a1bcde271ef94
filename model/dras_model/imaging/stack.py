"""Slices of one series become a stack: sorted by position, checked, on one grid.

Sorting is by the position along the slice normal and by nothing else: neither file names nor
instance numbers say where a slice lies. Geometry is never invented; what is missing is refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.slices import Slice, Vector
from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import StudyWarning

COSINE_TOLERANCE = 1e-3  # cosines arrive as rounded decimal text
SAME_POSITION_MM = 1e-2
SPACING_TOLERANCE = 0.02  # of the median step; beyond it a stack is resampled by true position
LEAST_SLICES = 12
LEAST_EXTENT_MM = 100.0  # a child's lungs are longer
MOST_MISSING_PERCENT = 5.0
MOST_GAP_MM = 10.0
LEAST_SHARE = 0.8  # of a series' slices must share one geometry
TILT_TOLERANCE_DEGREES = 0.1
MOST_VOXELS = 1_500_000_000
MOST_SIDE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in the order of their grid, and where each truly lies on it.

    `depths` (n,) are positions in slices along the grid's first axis: whole numbers where the
    series is regular. `shifts` (n, 2) are in-plane offsets (rows, columns) of a tilted gantry in
    pixels, zero without tilt.
    """

    slices: tuple[Slice, ...]
    grid: Grid
    depths: NDArray[np.float64]
    shifts: NDArray[np.float64]
    warnings: tuple[StudyWarning, ...]

    @property
    def regular(self) -> bool:
        """Whether each slice is one plane of the grid, as it is."""
        return len(self.slices) == self.grid.shape[0] and not self.shifts.any()


def build_stack(slices: Sequence[Slice]) -> Stack:
    """Sort and check the slices of one series (of one geometry, mostly) and lay them on a grid.

    Raises StudyRefused: GEOMETRY_MISSING, INCONSISTENT_GEOMETRY, DUPLICATE_POSITIONS,
    TOO_FEW_SLICES, MISSING_SLICES, VOLUME_TOO_LARGE.
    """
    _require_geometry(slices)
    kept = _largest_geometry(slices)
    first = kept[0]
    row, column = _orthonormal(first)
    normal = np.cross(row, column)
    kept, positions = _sorted_unique(kept, normal)
    along = (positions - positions[0]) @ normal
    step_mm, n_planes, warnings = _regular_step(along)
    shifts, tilt = _shifts(positions, along, (row, column, normal), first)
    if tilt:
        warnings = [*warnings, tilt]
    affine = np.eye(4)
    rows_mm, columns_mm = _spacing(first)
    affine[:3, :3] = np.stack([normal * step_mm, column * rows_mm, row * columns_mm], axis=1)
    affine[:3, 3] = positions[0] - shifts[0, 0] * rows_mm * column - shifts[0, 1] * columns_mm * row
    grid = Grid((n_planes, first.rows, first.columns), affine)
    if grid.n_voxels > MOST_VOXELS or max(grid.shape) > MOST_SIDE:
        raise StudyRefused(Code.VOLUME_TOO_LARGE, megavoxels=grid.n_voxels / 1e6, limit=MOST_VOXELS / 1e6)
    depths = along / step_mm
    nearest = np.round(depths)
    regular = len(kept) == n_planes and np.max(np.abs(depths - nearest)) < 0.1
    return Stack(tuple(kept), grid, nearest if regular else depths, shifts, tuple(warnings))


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

    def key(item: Slice) -> tuple[object, ...]:
        cosines = np.round(np.concatenate(_cosines(item)) / (2 * COSINE_TOLERANCE)).astype(int)
        spacing = tuple(round(size, 4) for size in _spacing(item))
        return (item.rows, item.columns, spacing, tuple(cosines))

    keys = [key(item) for item in slices]
    counts = Counter(keys)
    commonest, count = counts.most_common(1)[0]
    if count < LEAST_SHARE * len(slices):
        raise StudyRefused(
            Code.INCONSISTENT_GEOMETRY,
            what="matrix, pixel spacing or orientation",
            found=f"{len(counts)} kinds, the commonest in {count} of {len(slices)} slices",
        )
    return [item for item, own in zip(slices, keys, strict=True) if own == commonest]


def _sorted_unique(slices: list[Slice], normal: Vector) -> tuple[list[Slice], Vector]:
    """Sort along the normal; where positions repeat, keep the acquisition with most slices."""
    groups: dict[str, list[Slice]] = {}
    for item in slices:
        groups.setdefault(item.acquisition_key, []).append(item)
    if _n_duplicates(slices, normal):
        slices = max(groups.values(), key=lambda group: (len(group), group[0].acquisition_key))
    duplicates = _n_duplicates(slices, normal)
    if duplicates:
        raise StudyRefused(Code.DUPLICATE_POSITIONS, n_duplicates=duplicates)
    slices = sorted(slices, key=lambda item: float(_position(item) @ normal))
    positions = np.array([_position(item) for item in slices])
    extent_mm = float((positions[-1] - positions[0]) @ normal)
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


def _n_duplicates(slices: Sequence[Slice], normal: Vector) -> int:
    along = np.sort(np.array([_position(item) @ normal for item in slices]))
    return int(np.sum(np.diff(along) < SAME_POSITION_MM))


def _regular_step(along: NDArray[np.float64]) -> tuple[float, int, list[StudyWarning]]:
    """Return the step in mm, the number of planes, and a warning where slices must be interpolated."""
    gaps = np.diff(along)
    median = float(np.median(gaps))
    multiples = np.maximum(np.round(gaps / median), 1)
    missing = int(np.sum(multiples - 1))
    expected = len(along) + missing
    if missing and (100.0 * missing / expected > MOST_MISSING_PERCENT or gaps.max() > MOST_GAP_MM):
        raise StudyRefused(
            Code.MISSING_SLICES,
            n_missing=missing,
            n_expected=expected,
            gap_mm=float(gaps.max()),
            most_percent=MOST_MISSING_PERCENT,
            most_gap_mm=MOST_GAP_MM,
        )
    if gaps.max() > MOST_GAP_MM:
        raise StudyRefused(
            Code.INCONSISTENT_GEOMETRY, what="the step between slices", found=f"up to {gaps.max():.1f} mm"
        )
    step_mm = float(along[-1] / (expected - 1))
    irregular = np.max(np.abs(gaps / multiples / step_mm - 1.0)) > SPACING_TOLERANCE
    warnings = []
    if missing or irregular:
        warnings.append(
            StudyWarning.of(Code.INTERPOLATED_SLICES, n_missing=missing, gap_mm=float(gaps.max()))
        )
    return step_mm, expected, warnings


def _shifts(
    positions: Vector, along: Vector, axes: tuple[Vector, Vector, Vector], first: Slice
) -> tuple[NDArray[np.float64], StudyWarning | None]:
    """In-plane drift of each slice against the normal, in pixels, and the warning of a tilt."""
    row, column, normal = axes
    drift = positions - positions[0] - along[:, None] * normal
    rows_mm, columns_mm = _spacing(first)
    shifts = np.stack([drift @ column / rows_mm, drift @ row / columns_mm], axis=1)
    degrees = float(np.degrees(np.arctan2(np.linalg.norm(drift[-1]), along[-1])))
    if degrees < TILT_TOLERANCE_DEGREES:
        return np.zeros_like(shifts), None
    shifts -= shifts[len(shifts) // 2]
    return shifts, StudyWarning.of(Code.TILT, degrees=degrees)
