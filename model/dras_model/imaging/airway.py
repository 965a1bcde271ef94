"""Trachea and main bronchi on the coarse grid: found from the top, grown while the growth is small.

A threshold that is too high lets the growth leak into the lung; the last one before the leak is
taken. Segmental bronchi are left to the lung.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.coarse import Coarse

_Mask = NDArray[np.bool_]
TRACHEA_MM2 = (50.0, 900.0)  # cross-section; saber-sheath to a wide trachea
TRACHEA_HU = -800.0  # mean of a cross-section; its wall is blurred in
FROM_MIDDLE_MM = 45.0  # a missing lung draws it aside
# Tracheomegaly (Mounier-Kuhn) reaches 50 mm across, as wide as an apex, but it holds nothing but air.
WIDE_MM2, WIDE_HU, WIDE_FROM_MIDDLE_MM = 2000.0, -950.0, 25.0
LEAST_LENGTH_MM = 15.0
THRESHOLDS_HU = (-960.0, -940.0, -920.0, -900.0, -880.0, -860.0)
MOST_ML = 110.0  # lumen of trachea and main bronchi together
MOST_OF_TRACHEA = 2.5  # the same against the trachea's own volume, where that is large
MOST_GROWTH = 1.8  # ratio of volumes of consecutive thresholds that means a leak
WALL_MM = 2.5
DESCENT_MM = 25.0  # the right main bronchus is 2.5 cm long and steep, the left one longer and flat
LEAST_BRONCHUS_MM2 = 30.0


def find_airway(coarse: Coarse, air: _Mask, middle: float) -> _Mask:
    """Return trachea and main bronchi with their walls; all False where no trachea is seen.

    `middle` is the column of the body's middle.
    """
    trachea = _trachea(coarse, air, middle)
    if not trachea.any():
        return trachea
    grown = trachea
    volume_ml = float(trachea.sum()) * coarse.voxel_ml
    most_ml = max(MOST_ML, MOST_OF_TRACHEA * volume_ml)
    for threshold in THRESHOLDS_HU:
        wider = _connected((coarse.hu < threshold) & air | trachea, trachea)
        wider_ml = float(wider.sum()) * coarse.voxel_ml
        if wider_ml > most_ml or (wider_ml > 30.0 and wider_ml > MOST_GROWTH * volume_ml):
            break
        grown, volume_ml = wider, wider_ml
    carina = _carina(coarse, grown)
    if carina is not None:
        grown[: max(0, carina - round(DESCENT_MM / coarse.spacing_mm[0]))] = False
    return coarse.distance_mm(grown) <= WALL_MM


def _carina(coarse: Coarse, lumen: _Mask) -> int | None:
    """The highest slice from which two lumina are seen in two slices running; None if never."""
    pixel_mm2 = coarse.spacing_mm[1] * coarse.spacing_mm[2]
    was_split = False
    for k in range(lumen.shape[0] - 1, -1, -1):
        pieces, count = ndimage.label(lumen[k])
        areas_mm2 = np.bincount(pieces.ravel(), minlength=count + 1)[1:] * pixel_mm2
        is_split = int(np.sum(areas_mm2 >= LEAST_BRONCHUS_MM2)) >= 2
        if is_split and was_split:
            return k + 1
        was_split = is_split
    return None


def _trachea(coarse: Coarse, air: _Mask, middle: float) -> _Mask:
    """The longest chain of round, thin cross-sections near the middle, followed downwards."""
    best = np.zeros_like(air)
    chain, length = np.zeros_like(air), 0
    best_length = 0
    previous: _Mask | None = None
    for k in range(air.shape[0] - 1, -1, -1):
        section = _section(coarse, air[k], coarse.hu[k], middle, previous)
        if section is None:
            chain, length, previous = np.zeros_like(air), 0, None
            continue
        chain[k], length, previous = section, length + 1, section
        if length > best_length:
            best, best_length = chain.copy(), length
    long_enough = best_length * coarse.spacing_mm[0] >= LEAST_LENGTH_MM
    return best if long_enough else np.zeros_like(air)


def _section(
    coarse: Coarse, air: _Mask, hu: NDArray[np.float32], middle: float, above: _Mask | None
) -> _Mask | None:
    """The tracheal cross-section of one slice, overlapping the one above where there is one."""
    pieces, _ = ndimage.label(air)
    pixel_mm2 = coarse.spacing_mm[1] * coarse.spacing_mm[2]
    found: list[tuple[float, _Mask]] = []
    for index, box in enumerate(ndimage.find_objects(pieces), start=1):
        piece = pieces[box] == index
        area_mm2 = float(piece.sum()) * pixel_mm2
        if not TRACHEA_MM2[0] <= area_mm2 <= WIDE_MM2:
            continue
        aside = abs((box[1].start + box[1].stop - 1) / 2.0 - middle)
        wide = area_mm2 > TRACHEA_MM2[1]
        most_aside_mm, most_hu = (WIDE_FROM_MIDDLE_MM, WIDE_HU) if wide else (FROM_MIDDLE_MM, TRACHEA_HU)
        thin = float(np.median(hu[box][piece])) < most_hu
        if aside * coarse.spacing_mm[2] > most_aside_mm or piece.sum() < 0.5 * piece.size or not thin:
            continue
        mask = pieces == index
        if above is not None and not (mask & above).any():
            continue
        found.append((aside, mask))
    return min(found, key=lambda item: item[0])[1] if found else None


def _connected(mask: _Mask, seed: _Mask) -> _Mask:
    pieces, _ = ndimage.label(mask)
    wanted = np.unique(pieces[seed])
    return np.isin(pieces, wanted[wanted > 0])
