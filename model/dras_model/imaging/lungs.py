"""Lungs of a CT: right, left and the large airways, from HU alone, with numbers to judge them by.

Works on a coarse grid of about 2 mm, where shape is decided, and refines the boundary on the native
grid, where densities are measured. Needs no weights. Trachea and main bronchi are out, vessels are in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.airway import find_airway
from dras_model.imaging.atlas import LEFT, ORIENTATION, RIGHT
from dras_model.imaging.box import Box, bounding_box
from dras_model.imaging.coarse import Coarse, coarsen
from dras_model.imaging.consolidation import add_consolidation
from dras_model.imaging.lung_quality import AIRWAY, measure_lungs
from dras_model.imaging.sides import LEAST_LUNG_ML, two_lungs
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import LungQuality

TISSUE_HU = -400.0  # half-way between parenchyma near -850 and soft tissue near +50
ROOM_AIR_HU = -960.0  # more than half of what surrounds the body is thinner; of no lung is
LEAST_HEIGHT_MM = 80.0
MOST_CROPPED_PERCENT = 25.0  # of the slices with lung; a heart or spine crop cuts through most
CORE_MM = 5.0  # erosion that parts the body from table and cables
SHELL_MM = 4.0
BROAD_CONTACT = 0.5  # area at the image's sides over volume^(2/3); a grazed lung has 0.1, a mattress 3
MOST_GAS_SHARE = 0.25  # voxels below GAS_HU in a small "lung"; bowel gas has more
GAS_HU = -970.0
SMALL_LUNGS_ML = 1000.0
CLOSING_MM = 8.0  # vessels up to twice this across are closed into the lung
__all__ = ["AIRWAY", "Lungs", "Segmenter", "find_lungs", "segment_lungs"]

_Mask = NDArray[np.bool_]
Segmenter: TypeAlias = Callable[[Volume], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Lungs:
    """`map` holds RIGHT, LEFT and AIRWAY on the grid of the volume it was made from."""

    map: LabelMap
    quality: LungQuality


def segment_lungs(volume: Volume, segmenter: Segmenter | None = None) -> Lungs:
    """Segment both lungs, by `find_lungs` or by another segmenter, and judge the outcome.

    ValueError where the axes of the volume do not grow as the atlas' do. Raises StudyRefused OUT_OF_SCOPE
    where nothing in the image looks like a lung.
    """
    if volume.grid.orientation != ORIENTATION:
        raise ValueError(f"orient the volume to {ORIENTATION} first, found {volume.grid.orientation}")
    coarse = coarsen(volume)
    labels = _find(volume, coarse) if segmenter is None else segmenter(volume)
    quality = measure_lungs(volume, labels, coarse)
    _require_lungs(quality)
    _refuse_gas(volume, labels, quality)
    return Lungs(LabelMap(labels, volume.grid), quality)


def find_lungs(volume: Volume) -> NDArray[np.uint8]:
    """Label RIGHT, LEFT and AIRWAY (z, y, x) from HU alone. Raises StudyRefused OUT_OF_SCOPE."""
    return _find(volume, coarsen(volume))


def _find(volume: Volume, coarse: Coarse) -> NDArray[np.uint8]:
    air, body, middle = _inner_air(coarse)
    box = _around(air, coarse)
    part = coarse.part(box)
    middle -= box[2].start
    airway = find_airway(part, air[box], middle)
    labels = two_lungs(part, air[box] & ~airway, middle)
    labels[airway & (labels == 0)] = AIRWAY
    closed = np.zeros(air.shape, dtype=np.uint8)
    closed[box] = _close(part, labels)
    return _refine(volume, coarse, closed, add_consolidation(coarse, closed, body))


def _inner_air(coarse: Coarse) -> tuple[_Mask, _Mask, float]:
    """Air that the body encloses, the body, and the column of its middle.

    Room air reaches the sides of the image. Air inside the table or a cushion does not, but it is
    the table's shell around it, not the body.
    """
    tissue = coarse.hu >= TISSUE_HU
    core = _largest(coarse.distance_mm(~tissue) > CORE_MM)
    if not core.any():
        raise StudyRefused(Code.OUT_OF_SCOPE, reason="there is no body in the image")
    body = coarse.distance_mm(core) <= 2 * CORE_MM
    pieces, count = ndimage.label(~tissue)
    surroundings = _reaches_sides(coarse, pieces, count)
    shell = tissue & (coarse.distance_mm(~tissue) <= SHELL_MM)
    near = ndimage.grey_dilation(pieces, size=(3, 3, 3)) * shell
    of_body = np.bincount(near[body], minlength=count + 1) / np.maximum(np.bincount(near.ravel()), 1)
    inside = ~surroundings & (of_body > 0.5)
    inside[0] = False
    columns = np.nonzero(core)[2]
    return inside[pieces], body, float(np.median(columns))


def _around(mask: _Mask, coarse: Coarse) -> Box:
    """Box of a mask with room for closing; what lies outside it is far from every lung."""
    z, y, x = (int(2 * CLOSING_MM / size_mm) + 1 for size_mm in coarse.spacing_mm)
    box = bounding_box(mask, (z, y, x))
    if box is None:
        raise StudyRefused(Code.OUT_OF_SCOPE, reason="there is no air inside the body")
    return box


def _reaches_sides(coarse: Coarse, pieces: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """Which pieces lie around the body: they meet the sides of the image broadly, or are room air.

    A lung that a tight field of view grazes meets the side on a small part of its surface.
    """
    z_mm, y_mm, x_mm = coarse.spacing_mm
    faces = [(pieces[:, [0, -1]], z_mm * x_mm), (pieces[..., [0, -1]], z_mm * y_mm)]
    contact_mm2 = sum(np.bincount(face.ravel(), minlength=count + 1) * mm2 for face, mm2 in faces)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    thin = np.bincount(pieces.ravel(), weights=coarse.hu.ravel() < ROOM_AIR_HU, minlength=count + 1)
    broad = contact_mm2 > BROAD_CONTACT * (sizes * coarse.voxel_ml * 1000.0) ** (2 / 3)
    return np.asarray((contact_mm2 > 0) & (broad | (thin > 0.5 * sizes)))


def _largest(mask: _Mask) -> _Mask:
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _close(coarse: Coarse, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Close vessels and hilar notches into each lung, without taking from the other or the airway."""
    closed = labels.copy()
    for side in (RIGHT, LEFT):
        own = labels == side
        if not own.any():
            continue
        box = _around(own, coarse)
        part = coarse.part(box)
        reached = part.distance_mm(own[box]) <= CLOSING_MM
        filled = part.distance_mm(~reached) > CLOSING_MM
        # In three dimensions: slice by slice the dome of the diaphragm would be a hole.
        filled = ndimage.binary_fill_holes(filled)
        closed[box][filled & (labels[box] == 0)] = side
    return closed


def _refine(
    volume: Volume, coarse: Coarse, aerated: NDArray[np.uint8], whole: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Bring the coarse labels to the native grid; near the surface of what is aerated a voxel must be thin."""
    grown = ndimage.grey_dilation(aerated, footprint=ndimage.generate_binary_structure(3, 1))
    grown = np.where(whole > 0, whole, grown).astype(np.uint8)
    core = ndimage.binary_erosion(whole > 0, border_value=1) | ((whole > 0) & (aerated == 0))
    native = coarse.expand(grown)
    inside = coarse.expand(core)
    native[~(inside | (volume.hu < TISSUE_HU))] = 0
    return native


def _require_lungs(quality: LungQuality) -> None:
    total_ml = quality.right_ml + quality.left_ml
    if total_ml < LEAST_LUNG_ML:
        raise StudyRefused(Code.OUT_OF_SCOPE, reason=f"only {total_ml:.0f} mL look like lung")
    if quality.height_mm < LEAST_HEIGHT_MM:
        raise StudyRefused(Code.OUT_OF_SCOPE, reason=f"only {quality.height_mm:.0f} mm of lung are imaged")
    if quality.touches_side_percent > MOST_CROPPED_PERCENT:
        raise StudyRefused(
            Code.OUT_OF_SCOPE,
            reason=f"the field of view cuts through the lungs in {quality.touches_side_percent:.0f} % of"
            " their slices",
        )


def _refuse_gas(volume: Volume, native: NDArray[np.uint8], quality: LungQuality) -> None:
    """Refuse an abdomen: little that looks like lung, and much of that as thin as bowel gas."""
    if quality.right_ml + quality.left_ml > SMALL_LUNGS_ML:
        return
    values = volume.hu[(native == RIGHT) | (native == LEFT)]
    share = float(np.mean(values < GAS_HU))
    if share > MOST_GAS_SHARE:
        raise StudyRefused(
            Code.OUT_OF_SCOPE, reason=f"{100 * share:.0f} % of the air inside the body is gas, not lung"
        )
