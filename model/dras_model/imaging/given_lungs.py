"""A lung mask of the user's own in the place of our segmentation, with its labels read by convention.

Right and left are labels 1 and 2 (3 is trachea and main bronchi), or 50 and 100 as in the method's atlas, or any
two that are named; one label alone is both lungs and is cut in two. What is asked of the mask is that its sides
are not swapped; whether it fits the lungs is judged by the quality numbers, as for our own.
"""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.atlas_bundle import PUBLISHED_LEFT, PUBLISHED_RIGHT
from dras_model.imaging.coarse import coarsen
from dras_model.imaging.given_mask import invalid
from dras_model.imaging.label_map import read_label_map
from dras_model.imaging.lungs import AIRWAY, Segmenter
from dras_model.imaging.sides import by_side
from dras_model.imaging.volume import LabelMap, Volume

Pair: TypeAlias = tuple[int, int]  # labels of the right and of the left lung


def given_lungs(path: Path, labels: Pair | None = None) -> Segmenter:
    """Return what gives, for a volume, the lungs in the mask at `path`; without `labels`, by convention.

    The segmenter raises StudyRefused: NOT_FOUND, MASK_INVALID, MASK_GEOMETRY, VOLUME_TOO_LARGE.
    """

    def segment(volume: Volume) -> NDArray[np.uint8]:
        given = read_label_map(path, volume.grid)
        found = _named(given, labels) if labels is not None else _by_convention(given, volume)
        _require_sides(found)
        return found

    return segment


def _named(given: LabelMap, pair: Pair) -> NDArray[np.uint8]:
    lungs = np.zeros(given.labels.shape, dtype=np.uint8)
    for label, side in zip(pair, (RIGHT, LEFT), strict=True):
        lungs[given.labels == label] = side
    if not lungs.any():
        raise invalid(f"it holds none of the labels {pair[0]} and {pair[1]}")
    return lungs


def _by_convention(given: LabelMap, volume: Volume) -> NDArray[np.uint8]:
    values = {int(value) for value in np.unique(given.labels)} - {0}
    if not values:
        raise invalid("it is empty")
    if values <= {PUBLISHED_RIGHT, PUBLISHED_LEFT}:
        return _named(given, (PUBLISHED_RIGHT, PUBLISHED_LEFT))
    if values <= {RIGHT, LEFT, AIRWAY} and values & {RIGHT, LEFT} and values != {RIGHT}:
        return given.labels
    if len(values) == 1:
        return _cut(given.labels != 0, volume)
    found = ", ".join(str(value) for value in sorted(values)[:8])
    raise invalid(
        f"its labels are {found}; expected 1 and 2, 50 and 100, or one label; or name right and left"
    )


def _cut(lung: NDArray[np.bool_], volume: Volume) -> NDArray[np.uint8]:
    """Give each voxel of an unlabelled mask its side, found on the coarse grid."""
    coarse = coarsen(volume)
    blocks = coarse.sample(lung)
    if not blocks.any():
        raise invalid("it holds less than a cube of 2 mm")
    body = np.nonzero(coarse.hu > -500.0)[2]
    sides = by_side(coarse, blocks, float(np.median(body)) if body.size else blocks.shape[2] / 2.0)
    return np.where(lung, coarse.expand(sides), 0).astype(np.uint8)


def _require_sides(lungs: NDArray[np.uint8]) -> None:
    """MASK_INVALID where there is no lung, or the right one lies to the left of the other."""
    columns = [np.count_nonzero(lungs == side, axis=(0, 1)) for side in (RIGHT, LEFT)]
    if not any(column.any() for column in columns):
        raise invalid("it holds no lung")
    if all(column.any() for column in columns):
        right, left = (float(np.average(np.arange(len(c)), weights=c)) for c in columns)
        # The volume's axes grow as the atlas' (LAS): columns to the patient's left.
        if right >= left:
            raise invalid("its right lung lies to the left of its left lung: labels or geometry are mirrored")
