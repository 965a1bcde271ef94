"""Which air is which lung: pieces by the side of the body they lie on, and one piece of both cut in two."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.coarse import Coarse
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

_Mask = NDArray[np.bool_]
PARTED_HU = -600.0  # a diaphragm of 3 mm in blocks of 4 mm leaves -550
LEAST_GAS_ML = 15.0
LEAST_UNDER_LUNG, MOST_OVER_LUNG = 0.5, 0.2  # of the columns of bowel gas, with lung over and under it
LEAST_LUNG_ML = 300.0  # both lungs together
LEAST_PIECE_SHARE = 0.05  # of the largest piece; smaller ones are bowel gas, oesophagus, pockets


def two_lungs(coarse: Coarse, air: _Mask, middle: float) -> NDArray[np.uint8]:
    """Label RIGHT and LEFT; where both lungs touch, they are cut at the narrowest place."""
    air = air & ~_gas_below(coarse, air)
    pieces, count = ndimage.label(air)
    labels = np.zeros(air.shape, dtype=np.uint8)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = int(sizes.max())
    if largest * coarse.voxel_ml < LEAST_LUNG_ML / 3:
        raise StudyRefused(
            Code.OUT_OF_SCOPE,
            reason=f"the largest air space inside the body is {largest * coarse.voxel_ml:.0f} mL",
        )
    kept = [int(i) for i in np.argsort(-sizes, kind="stable") if sizes[i] >= LEAST_PIECE_SHARE * largest]
    for piece in kept:
        mask = pieces == piece
        left_share = float(np.mean(np.nonzero(mask)[2] > middle))
        if sizes[piece] > 0.5 * largest and 0.15 < left_share < 0.85:
            labels[mask] = cut_in_two(coarse, mask)[mask]
        elif sizes[piece] > 0.25 * largest or not _is_gas(coarse, mask):
            labels[mask] = LEFT if left_share >= 0.5 else RIGHT
    return labels


def _gas_below(coarse: Coarse, air: _Mask) -> _Mask:
    """Gas in stomach and colon, which a thin diaphragm hardly parts from the lung.

    Between lung and gas a block of diaphragm is denser than lung, if not as dense as tissue. Gas lies under
    the lung, a bulla within it or above.
    """
    pieces, count = ndimage.label(air & (coarse.hu < PARTED_HU))
    sizes_ml = np.bincount(pieces.ravel(), minlength=count + 1) * coarse.voxel_ml
    sizes_ml[0] = 0.0
    gas = np.zeros(air.shape, dtype=bool)
    lung = np.isin(pieces, np.flatnonzero(sizes_ml > LEAST_LUNG_ML / 3))
    for piece in np.flatnonzero(sizes_ml > LEAST_GAS_ML):
        mask = pieces == piece
        if not _is_gas(coarse, mask):
            continue
        others = lung & ~mask
        there = others.any(axis=0) & mask.any(axis=0)
        above = there & (_highest(others) > _highest(mask))
        below = there & (np.argmax(others, axis=0) < np.argmax(mask, axis=0))
        n_columns = np.count_nonzero(mask.any(axis=0))
        if above.sum() > LEAST_UNDER_LUNG * n_columns and below.sum() < MOST_OVER_LUNG * n_columns:
            gas |= mask
    # The block of diaphragm itself is no lung either.
    return np.asarray(air & ndimage.binary_dilation(gas))


def _highest(mask: _Mask) -> NDArray[np.int64]:
    """Return the highest block of each column (y, x); the top where there is none."""
    return np.asarray(len(mask) - 1 - np.argmax(mask[::-1], axis=0))


def by_side(coarse: Coarse, lung: _Mask, middle: float) -> NDArray[np.uint8]:
    """Give every block RIGHT or LEFT, as the nearest piece of `lung` has it; `middle` is the body's column.

    A piece on both sides of the middle is cut in two, however small.
    """
    pieces, count = ndimage.label(lung)
    sides = np.zeros(lung.shape, dtype=np.uint8)
    for piece in range(1, count + 1):
        mask = pieces == piece
        left_share = float(np.mean(np.nonzero(mask)[2] > middle))
        if 0.15 < left_share < 0.85:
            sides[mask] = cut_in_two(coarse, mask)[mask]
        else:
            sides[mask] = LEFT if left_share >= 0.5 else RIGHT
    nearest_left = coarse.distance_mm(sides == LEFT) < coarse.distance_mm(sides == RIGHT)
    return np.where(nearest_left, LEFT, RIGHT).astype(np.uint8)


def _is_gas(coarse: Coarse, mask: _Mask) -> bool:
    """Whether a piece is gas in a hollow organ: almost all of it as thin as air, unlike lung."""
    values = coarse.hu[ndimage.binary_erosion(mask)]
    return values.size > 0 and float(np.median(values)) < -965.0


def cut_in_two(coarse: Coarse, mask: _Mask) -> NDArray[np.uint8]:
    """Cut one piece into RIGHT and LEFT half-way between its two cores.

    Erosion parts the lungs at the anterior or posterior junction, where they touch over a few
    millimetres; both cores have lost the same margin there, so half-way is the junction.
    """
    depth = coarse.distance_mm(~mask)
    for radius_mm in np.arange(2.0, 40.0, 2.0):
        cores, count = ndimage.label(depth > radius_mm)
        sizes = np.bincount(cores.ravel(), minlength=count + 1)
        sizes[0] = 0
        order = np.argsort(-sizes, kind="stable")[:2]
        if count >= 2 and sizes[order[1]] >= 0.2 * sizes[order[0]]:
            one, other = (cores == i for i in order)
            if np.mean(np.nonzero(one)[2]) > np.mean(np.nonzero(other)[2]):
                one, other = other, one
            nearer_left = coarse.distance_mm(other) < coarse.distance_mm(one)
            return np.where(nearer_left, LEFT, RIGHT).astype(np.uint8)
    return np.full(mask.shape, RIGHT, dtype=np.uint8)
