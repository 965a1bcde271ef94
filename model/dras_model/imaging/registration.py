"""Affine alignment of the atlas' lungs to a subject's: Gauss-Newton on clipped signed distances.

Both lungs are matched at once, each by its own distance map, so right never becomes left. Points are
taken on a regular lattice of the atlas and nothing is random: equal input gives equal bits. Where the
scan ends within a lung, what lies beyond its end says nothing and is left out.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.box import CORNER, bounding_box
from dras_model.imaging.coarse import COARSE_MM
from dras_model.imaging.distance import signed_distance_mm
from dras_model.imaging.registration_quality import judge
from dras_model.imaging.volume import Grid, LabelMap, Matrix
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import RegistrationQuality

# (lattice step, clip) in mm, coarse to fine; iterations end when the lungs move less than STILL_MM.
Schedule: TypeAlias = tuple[tuple[float, float], ...]
SCHEDULE: Schedule = ((10.0, 40.0), (7.0, 20.0), (5.0, 10.0))
MARGIN_MM = 50.0  # around the lungs; distances beyond the first clip are not used
MOST_ITERATIONS = 25
STILL_MM = 0.02
LEAST_LUNG_ML = 100.0  # a lung smaller than this cannot guide the alignment
TRUNCATED_PERCENT = 5.0  # of the widest section, in the first or last slice
SCALES = (0.5, 2.0)  # of the singular values; beyond them the fit has failed
LEAST_DICE = 0.5  # of the lung that fits better; a lung and its atlas that share less are not aligned
HEIGHT_POWER = 0.5  # people differ more in the width of their chest than in its height
SHAPE_PRIOR = 0.02  # weight of the starting proportions where the scan cuts the lungs


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """`matrix` (4, 4) maps atlas LPS mm to subject LPS mm."""

    matrix: Matrix
    quality: RegistrationQuality

    def to_subject(self, world_mm: NDArray[np.generic]) -> Matrix:
        """Map atlas points (..., 3) to subject points (..., 3), both LPS mm."""
        moved: Matrix = np.asarray(world_mm, np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved


def align(atlas: Atlas, lungs: LabelMap) -> Alignment:
    """Find the affine from the atlas to a subject's lungs (labels RIGHT and LEFT, axes as the atlas').

    Raises StudyRefused REGISTRATION_FAILED where no lung is large enough or the fit has failed.
    """
    subject = _cropped(_shrink(lungs))
    sides = [
        side
        for side in (RIGHT, LEFT)
        if np.count_nonzero(subject.labels == side) * subject.grid.voxel_ml >= LEAST_LUNG_ML
    ]
    if not sides:
        raise StudyRefused(Code.REGISTRATION_FAILED, reason="neither lung is large enough")
    matrix = fit_affine(atlas.lungs, subject, sides)
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if np.linalg.det(matrix[:3, :3]) <= 0 or scales.min() < SCALES[0] or scales.max() > SCALES[1]:
        raise StudyRefused(
            Code.REGISTRATION_FAILED,
            reason=f"the lungs would have to be scaled by {scales.min():.2f} to {scales.max():.2f}",
        )
    quality = judge(atlas, lungs, matrix)
    dice = max({RIGHT: quality.dice_right, LEFT: quality.dice_left}[side] for side in sides)
    if dice < LEAST_DICE:
        raise StudyRefused(
            Code.REGISTRATION_FAILED,
            reason=f"the lung that fits better overlaps the atlas' with a Dice of {dice:.2f} only",
        )
    return Alignment(matrix, quality)


def fit_affine(
    reference: LabelMap,
    subject: LabelMap,
    sides: list[int],
    *,
    unknown: NDArray[np.bool_] | None = None,
    schedule: Schedule = SCHEDULE,
) -> Matrix:
    """Return the affine (4, 4) that brings the lungs `sides` of a reference onto a subject's, LPS mm both.

    What falls on the voxels `unknown` (z, y, x) of the subject says nothing.
    """
    fit = _Fit(reference, subject, sides, unknown)
    matrix = fit.start()
    for step_mm, clip_mm in schedule:
        matrix = fit.refine(matrix, step_mm=step_mm, clip_mm=clip_mm)
    return matrix


class _Fit:
    """The distance maps of both sides, and the steps that bring one onto the other."""

    def __init__(
        self, reference: LabelMap, subject: LabelMap, sides: list[int], unknown: NDArray[np.bool_] | None
    ) -> None:
        self.subject = subject
        self.unknown = unknown
        self.sides = sides
        self.reference, maps = _reference(reference)
        self.reference_maps = [maps[side] for side in sides]
        self.subject_maps = [_map(subject, side) for side in sides]
        lung = np.isin(self.reference.labels, sides)
        self.centre = self.reference.grid.to_world(np.argwhere(lung)).mean(axis=0)
        self.cut = _cut_ends(subject, sides)

    def start(self) -> Matrix:
        """Match the boxes of both lungs; along an axis cut by the scan, match what is whole."""
        reference = _extent(self.reference, self.sides)
        subject = _extent(self.subject, self.sides)
        scale = (subject[1] - subject[0]) / (reference[1] - reference[0])
        shift = subject.mean(axis=0) - scale * reference.mean(axis=0)
        bottom_cut, top_cut = self.cut
        if bottom_cut or top_cut:
            scale[2] = scale[:2].mean() ** HEIGHT_POWER
            ends = [end for end, cut in ((0, bottom_cut), (1, top_cut)) if not cut] or [0, 1]
            shift[2] = np.mean([subject[end, 2] - scale[2] * reference[end, 2] for end in ends])
        matrix = np.diag([*scale, 1.0])
        matrix[:3, 3] = shift
        return matrix

    def refine(self, matrix: Matrix, *, step_mm: float, clip_mm: float) -> Matrix:
        """Gauss-Newton steps until the points move less than STILL_MM."""
        points, wanted = self._points(step_mm, clip_mm)
        local = points - self.centre
        start = matrix[:3, :3].copy()
        for _ in range(MOST_ITERATIONS):
            normal, gradient = self._equations(matrix, points, local, wanted, clip_mm)
            if any(self.cut):
                self._add_prior(normal, gradient, matrix[:3, :3] - start, len(points))
            update = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(12), -gradient)
            linear, shift = update[:9].reshape(3, 3), update[9:]
            matrix = matrix.copy()
            matrix[:3, :3] += linear
            matrix[:3, 3] += shift - linear @ self.centre
            moved = np.abs(local @ linear.T + shift).max()
            if moved < STILL_MM:
                break
        return matrix

    def _points(self, step_mm: float, clip_mm: float) -> tuple[Matrix, list[NDArray[np.float64]]]:
        """Lattice points of the atlas near its lungs' surfaces, with their distances."""
        stride = tuple(max(1, round(step_mm / size)) for size in self.reference.grid.spacing_mm)
        lattice = tuple(slice(step // 2, None, step) for step in stride)
        maps = [distances[lattice] for distances in self.reference_maps]
        near = np.min([np.abs(distances) for distances in maps], axis=0) < 1.5 * clip_mm
        index = np.argwhere(near) * stride + np.array(stride) // 2
        return self.reference.grid.to_world(index), [distances[near] for distances in maps]

    def _equations(
        self,
        matrix: Matrix,
        points: Matrix,
        local: Matrix,
        wanted: list[NDArray[np.float64]],
        clip_mm: float,
    ) -> tuple[Matrix, Matrix]:
        """Normal matrix (12, 12) and gradient (12,) of the squared difference of clipped distances."""
        index = self.subject.grid.to_index(points @ matrix[:3, :3].T + matrix[:3, 3])
        seen = self._seen(index)
        scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
        to_index = np.linalg.inv(self.subject.grid.affine)[:3, :3]
        normal, gradient = np.zeros((12, 12)), np.zeros(12)
        for distances, target in zip(self.subject_maps, wanted, strict=True):
            found, slope = _sample(distances, index)
            goal = np.clip(scale * target, -clip_mm, clip_mm)
            used = seen & ((np.abs(found) < clip_mm) | (np.abs(goal) < clip_mm))
            residual = (np.clip(found, -clip_mm, clip_mm) - goal)[used]
            steep = (slope @ to_index)[used] * (np.abs(found[used]) < clip_mm)[:, None]
            # d residual / d linear[i, j] = slope_i * local_j, letters: n points, i row, j column
            jacobian = np.concatenate(
                [np.einsum("ni,nj->nij", steep, local[used]).reshape(-1, 9), steep], axis=1
            )
            normal += jacobian.T @ jacobian
            gradient += jacobian.T @ residual
        return normal, gradient

    def _seen(self, index: Matrix) -> NDArray[np.bool_]:
        """Which points say something: not those beyond an end of the scan that cuts the lungs, or unknown."""
        seen = np.ones(len(index), dtype=bool)
        bottom_cut, top_cut = self.cut
        if bottom_cut:
            seen &= index[:, 0] >= 0
        if top_cut:
            seen &= index[:, 0] <= self.subject.grid.shape[0] - 1
        if self.unknown is not None:
            z, y, x = np.clip(np.rint(index).astype(np.int64).T, 0, np.array(self.unknown.shape)[:, None] - 1)
            seen &= ~self.unknown[z, y, x]
        return seen

    def _add_prior(self, normal: Matrix, gradient: Matrix, drift: Matrix, n_points: int) -> None:
        """Pull the linear part to its start, as strongly as a share of all points would."""
        weight = SHAPE_PRIOR * n_points * 100.0**2  # at 100 mm from the centre
        normal[np.arange(9), np.arange(9)] += weight
        gradient[:9] += weight * drift.ravel()


@lru_cache(maxsize=3)
def _reference(lungs: LabelMap) -> tuple[LabelMap, dict[int, NDArray[np.float64]]]:
    """The reference's lungs on a coarser lattice and their distance maps; one process sees few atlases."""
    shrunk = _shrink(lungs)
    return shrunk, {side: _map(shrunk, side) for side in (RIGHT, LEFT)}


def _cropped(lungs: LabelMap) -> LabelMap:
    """Cut off what is farther from the lungs than any clip; the first and last slice stay as they are."""
    lung = (lungs.labels == RIGHT) | (lungs.labels == LEFT)
    _, row_mm, column_mm = lungs.grid.spacing_mm
    _, rows, columns = bounding_box(lung, (0, int(MARGIN_MM / row_mm), int(MARGIN_MM / column_mm))) or CORNER
    box = (slice(0, lungs.labels.shape[0]), rows, columns)
    labels = np.ascontiguousarray(lungs.labels[box])
    affine = lungs.grid.affine.copy()
    affine[:3, 3] = lungs.grid.to_world(np.array([part.start for part in box]))
    return LabelMap(labels, Grid((labels.shape[0], labels.shape[1], labels.shape[2]), affine))


def _map(labels: LabelMap, side: int) -> NDArray[np.float64]:
    distances = signed_distance_mm(labels.labels == side, labels.grid.spacing_mm)
    return distances.astype(np.float64)


def _shrink(lungs: LabelMap) -> LabelMap:
    """Take every n-th voxel so that none is coarser than COARSE_MM (or than it was)."""
    factors = [max(1, int(COARSE_MM / size)) for size in lungs.grid.spacing_mm]
    offset = [factor // 2 for factor in factors]
    labels = np.ascontiguousarray(
        lungs.labels[tuple(slice(o, None, f) for o, f in zip(offset, factors, strict=True))]
    )
    affine = lungs.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * np.array(factors)
    affine[:3, 3] = lungs.grid.to_world(np.array(offset))
    return LabelMap(labels, Grid((labels.shape[0], labels.shape[1], labels.shape[2]), affine))


def _extent(labels: LabelMap, sides: list[int]) -> Matrix:
    """1st and 99th percentile (2, 3) of the lungs' LPS coordinates: a box without spurs."""
    world = labels.grid.to_world(np.argwhere(np.isin(labels.labels, sides)))
    extent: Matrix = np.percentile(world, [1.0, 99.0], axis=0)
    return extent


def _cut_ends(labels: LabelMap, sides: list[int]) -> tuple[bool, bool]:
    """Whether the bottom and the top slice of the scan cut through the lungs."""
    sections = np.isin(labels.labels, sides).sum(axis=(1, 2))
    least = TRUNCATED_PERCENT / 100.0 * sections.max()
    return bool(sections[0] > least), bool(sections[-1] > least)


def _sample(distances: NDArray[np.float64], index: Matrix) -> tuple[NDArray[np.float64], Matrix]:
    """Trilinear value (n,) and slope (n, 3) per index step; beyond the edge the edge continues."""
    limit = np.array(distances.shape) - 1.0
    inside = np.clip(index, 0.0, np.maximum(limit - 1e-6, 0.0))
    base = inside.astype(np.int64)
    part = inside - base
    corner = np.empty((2, 2, 2, len(index)))
    top = np.minimum(base + 1, limit.astype(np.int64))
    for k in (0, 1):
        for j in (0, 1):
            for i in (0, 1):
                z = (base, top)[k][:, 0]
                y = (base, top)[j][:, 1]
                x = (base, top)[i][:, 2]
                corner[k, j, i] = distances[z, y, x]
    pz, py, px = part.T
    along_x = corner[:, :, 0] * (1 - px) + corner[:, :, 1] * px
    along_y = along_x[:, 0] * (1 - py) + along_x[:, 1] * py
    value = along_y[0] * (1 - pz) + along_y[1] * pz
    slope_z = along_y[1] - along_y[0]
    by_y = along_x[:, 1] - along_x[:, 0]
    slope_y = by_y[0] * (1 - pz) + by_y[1] * pz
    by_x = corner[:, :, 1] - corner[:, :, 0]
    by_xy = by_x[:, 0] * (1 - py) + by_x[:, 1] * py
    slope_x = by_xy[0] * (1 - pz) + by_xy[1] * pz
    return value, np.stack([slope_z, slope_y, slope_x], axis=1)
