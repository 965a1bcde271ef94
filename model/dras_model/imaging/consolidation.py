"""Lung that holds no air any more: a consolidation is lung, and a threshold does not see it.

What proves it is air in its bronchi: soft tissue that holds fine gas, where lung is expected, is consolidated
lung; heart, liver, effusion hold none. How far it reaches is told by the lungs of the mean thorax, fitted to the
aerated parts of both lungs and moved locally to the borders that are seen. A consolidation without air in its
bronchi, and one beside more than half of a lung, are not found; fluid is left out by its density.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.anatomy.thorax import MEAN_THORAX
from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.builtin_atlas import atlas_grid, draw_lungs
from dras_model.imaging.coarse import Coarse
from dras_model.imaging.distance import signed_distance_mm
from dras_model.imaging.registration import SCHEDULE, Schedule, fit_affine
from dras_model.imaging.volume import Grid, LabelMap, Matrix

_Mask = NDArray[np.bool_]
_Voxel = TypeVar("_Voxel", bound=np.generic)
REFERENCE_MM = 3
GAS_HU = -170.0  # of a block that is partly bronchus; fat is near -100
LEAST_GAS_PIECES = 4
LARGEST_GAS_ML = 6.0  # of one piece; more is bowel, or lung
CLEAR_MM = 6.0  # from aerated lung and outside air: nearer, gas is its ragged edge
REACH_MM = 45.0  # of the expected lung beyond the aerated one, within which gas counts
SOFT_HU = (25.0, 130.0)  # of a smoothed block: above an effusion, below bone
BORDER_MM = 12.0  # a seen border farther from the expected one is the edge of a consolidation, or a misfit
SMOOTHING_MM = 30.0  # of the local correction
LEAST_ML = 15.0
RIM_HU, RIM_MM = (-60.0, 250.0), 9.0  # of a block at its border, and how thick the rim may be
UNKNOWN_MM = 15.0  # around an addition, its own border is no evidence
SHORT = 0.25  # of a block, by which the fit falls short: on phantoms it missed four times what it added
PASSES = 3  # each fit knows better what is a border and what the edge of a consolidation
CLOSING_MM = 6.0  # over bronchi and the ragged edge
OPENING_MM = 4.0  # takes away what reaches between the ribs


def add_consolidation(coarse: Coarse, labels: NDArray[np.uint8], inside: _Mask) -> NDArray[np.uint8]:
    """Return the labels (z, y, x) with consolidated lung added to its side; `inside` is the body.

    Labels that are set stay as they are, the airway's, too.
    """
    box = _around(coarse, (labels == RIGHT) | (labels == LEFT))
    result = labels.copy()
    result[box] = _add(coarse.part(box), labels[box], inside[box])
    return result


def _add(coarse: Coarse, labels: NDArray[np.uint8], inside: _Mask) -> NDArray[np.uint8]:
    gas = _fine_gas(coarse, (labels == RIGHT) | (labels == LEFT), inside)
    if gas is None:
        return labels
    expected = _expected_lungs(
        _Scene.of(coarse.halved(), _halved_labels(labels), _halved_gas(gas), _halved(inside))
    )
    if not expected:
        return labels
    scene = _Scene.of(coarse, labels, gas, inside)
    return scene.added({side: _like(field, coarse.hu.shape) for side, field in expected.items()})


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What is seen at one resolution: labels, numbered gas, soft tissue within the body, and its ragged rim."""

    coarse: Coarse
    labels: NDArray[np.uint8]
    gas: NDArray[np.int32]
    soft: _Mask
    rim: _Mask

    @classmethod
    def of(
        cls, coarse: Coarse, labels: NDArray[np.uint8], gas: NDArray[np.int32], inside: NDArray[np.generic]
    ) -> "_Scene":
        """Find soft tissue and rim; `inside` (z, y, x) is not 0 in the body."""
        smooth = ndimage.uniform_filter(coarse.hu, 3)
        free = (inside != 0) & (labels == 0)
        soft = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1]) & free
        rim = (coarse.hu > RIM_HU[0]) & (coarse.hu < RIM_HU[1]) & free
        return cls(coarse, labels, gas, soft, rim)

    def added(self, expected: dict[int, NDArray[np.float32]]) -> NDArray[np.uint8]:
        """Return the labels with the consolidated lung that lies where lung is expected (negative)."""
        whole = self.labels.copy()
        for side, field in expected.items():
            core = _with_gas(self.coarse, self.soft & (field < 0), self.gas)
            filled = _filled(self.coarse, core, self.labels == side, self.rim)
            short_mm = SHORT * sum(self.coarse.spacing_mm) / 3.0
            whole[filled & (field < short_mm) & (whole == 0)] = side
        return whole


def _expected_lungs(scene: _Scene) -> dict[int, NDArray[np.float32]]:
    """Where each lung is expected, negative inside, from fits that learn what is border; {} without gas there."""
    found = scene.labels
    expected: dict[int, NDArray[np.float32]] = {}
    for schedule in (SCHEDULE[:1], *[SCHEDULE] * (PASSES - 1)):  # a rough fit shows whether there is any
        matrix = _fit(scene.coarse, found, scene.labels, schedule)
        for side in (RIGHT, LEFT):
            own = scene.labels == side
            if own.any():
                field = _expected(scene.coarse, matrix, side)
                expected[side] = _moved_to_borders(scene.coarse, own, field)
        found = scene.added(expected)
        if np.array_equal(found, scene.labels):
            return {}
    return expected


def _halved(array: NDArray[_Voxel]) -> NDArray[_Voxel]:
    """Return the voxel that stands for each block of two a side."""
    return np.ascontiguousarray(array[tuple(slice(0, None, 2) for _ in range(3))])


def _halved_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what holds at least half of each block of two a side; one block alone would shift the border."""
    halved = _halved(labels) * np.uint8(0)
    for label in range(1, int(labels.max(initial=0)) + 1):
        share = ndimage.uniform_filter((labels == label).astype(np.float32), 2, origin=-1)
        halved[_halved(share) >= 0.5] = label
    return halved


def _halved_gas(gas: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the highest number in each block of two a side: no piece may fall between blocks."""
    return _halved(ndimage.maximum_filter(gas, size=2, origin=-1))


def _like(field: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Bring a field of blocks of two to single blocks (z, y, x), linearly."""
    # Block i of two has its centre at 2 i + 0.5.
    return np.asarray(
        ndimage.affine_transform(
            field, np.full(3, 0.5), np.full(3, -0.25), output_shape=shape, order=1, mode="nearest"
        )
    )


def _filled(coarse: Coarse, core: _Mask, own: _Mask, rim: _Mask) -> _Mask:
    """The core of a consolidation with its rim, and what it and the aerated lung enclose."""
    if not core.any():
        return core
    whole = rim & (coarse.distance_mm(core) <= RIM_MM) | core | own
    return np.asarray(coarse.distance_mm(coarse.distance_mm(whole) > CLOSING_MM) > CLOSING_MM)


def _around(coarse: Coarse, mask: _Mask) -> Box:
    """Box of a mask with the room in which lung is looked for."""
    z, y, x = (int(REACH_MM / size_mm) + 1 for size_mm in coarse.spacing_mm)
    return bounding_box(mask, (z, y, x)) or CORNER


def _fine_gas(coarse: Coarse, aerated: _Mask, inside: _Mask) -> NDArray[np.int32] | None:
    """Return numbered pieces of gas as fine as a bronchus, near the lungs; None where there are too few."""
    near = ndimage.binary_dilation(aerated, iterations=1)
    gas = (coarse.hu < GAS_HU) & inside & ~near
    pieces, count = ndimage.label(gas, np.ones((3, 3, 3)))
    if count < LEAST_GAS_PIECES:
        return None
    sizes_ml = np.bincount(pieces.ravel()) * coarse.voxel_ml
    fine = sizes_ml < LARGEST_GAS_ML
    fine[0] = False
    kept = np.where(fine[pieces], pieces, 0).astype(np.int32)
    away = coarse.distance_mm(aerated)
    kept[(away < CLEAR_MM) | (away > REACH_MM)] = 0
    return kept if len(np.unique(kept)) > LEAST_GAS_PIECES else None


@lru_cache(maxsize=1)
def _mean_lungs() -> tuple[LabelMap, dict[int, NDArray[np.float32]]]:
    """The mean thorax' lungs on a coarse grid, and the signed distance to each, negative inside."""
    fine = atlas_grid()
    affine = fine.affine.copy()
    affine[:3, :3] *= REFERENCE_MM
    shape = tuple(-(-n // REFERENCE_MM) for n in fine.shape)
    lungs = draw_lungs(Grid((shape[0], shape[1], shape[2]), affine), MEAN_THORAX)
    spacing = lungs.grid.spacing_mm
    return lungs, {side: signed_distance_mm(lungs.labels == side, spacing) for side in (RIGHT, LEFT)}


def _fit(coarse: Coarse, found: NDArray[np.uint8], labels: NDArray[np.uint8], schedule: Schedule) -> Matrix:
    """Fit the mean thorax to what was found, but not to the borders that no aerated lung shows."""
    sides = [side for side in (RIGHT, LEFT) if (labels == side).any()]
    added = found != labels
    unknown = None
    if added.any():
        aerated = (labels == RIGHT) | (labels == LEFT)
        unknown = (coarse.distance_mm(added) < UNKNOWN_MM) & (coarse.distance_mm(aerated) > CLEAR_MM)
    return fit_affine(
        _mean_lungs()[0], LabelMap(found, coarse.grid), sides, unknown=unknown, schedule=schedule
    )


def _expected(coarse: Coarse, matrix: Matrix, side: int) -> NDArray[np.float32]:
    """Signed distance (z, y, x) in about mm to where the mean thorax' lung would lie, negative inside."""
    lungs, distances = _mean_lungs()
    step = np.linalg.inv(lungs.grid.affine) @ np.linalg.inv(matrix) @ coarse.grid.affine
    sampled = ndimage.affine_transform(
        distances[side], step[:3, :3], step[:3, 3], output_shape=coarse.hu.shape, order=1, mode="nearest"
    )
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    return np.asarray(sampled * scale, dtype=np.float32)


def _moved_to_borders(coarse: Coarse, own: _Mask, expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift the expected border to the one that is seen, as far as it is seen nearby."""
    surface = own & ~ndimage.binary_erosion(own, border_value=1)
    half_block_mm = np.float32(
        sum(coarse.spacing_mm) / 6.0
    )  # a block's centre lies that far within the border
    seen = surface & (np.abs(expected) < BORDER_MM)
    sigma = [SMOOTHING_MM / size for size in coarse.spacing_mm]
    weight = ndimage.gaussian_filter(seen.astype(np.float32), sigma, truncate=3.0)
    shift = ndimage.gaussian_filter(
        np.where(seen, expected + half_block_mm, 0).astype(np.float32), sigma, truncate=3.0
    )
    few = 0.02 * float(weight.max(initial=0.0)) + 1e-9  # where hardly a border is seen, none is moved
    return expected - shift / (weight + few)


def _with_gas(coarse: Coarse, soft: _Mask, gas: NDArray[np.int32]) -> _Mask:
    """Keep the pieces of soft tissue that hold fine gas, smoothed so that none reaches between ribs."""
    core = coarse.distance_mm(~soft) > OPENING_MM
    opened = coarse.distance_mm(core) <= OPENING_MM
    pieces, count = ndimage.label(opened & soft)
    beside = ndimage.grey_dilation(pieces, size=(3, 3, 3))
    kept = np.zeros(count + 1, dtype=bool)
    sizes_ml = np.bincount(pieces.ravel(), minlength=count + 1) * coarse.voxel_ml
    for piece in range(1, count + 1):
        held = np.unique(gas[(beside == piece) & (gas > 0)])
        kept[piece] = sizes_ml[piece] >= LEAST_ML and held.size >= LEAST_GAS_PIECES
    return np.asarray(kept[pieces])
