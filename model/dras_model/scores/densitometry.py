"""Every score in every region, from the HU of the native grid: unclipped, padding removed.

A region without voxels gets its scores as null with a reason; so does every score of the histogram's
thin tail where the slices are too thick for it to mean anything.
"""

from collections.abc import Collection

import numpy as np

from dras_model.imaging.lungs import Lungs
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.study import Region, Score
from dras_model.scores.acquisition import MOST_CUT_PERCENT
from dras_model.scores.definitions import DEFINITIONS, Definition, Values
from dras_model.scores.regions import PARTS, split_values

THICK_WITHHELD_MM = 5.05  # above 5 mm, with room for rounded positions
_WHOLE_LUNGS = frozenset({Region.WHOLE, Region.RIGHT, Region.LEFT})


def measure(
    volume: Volume, lungs: Lungs, *, warnings: Collection[Code], thickness_mm: float
) -> tuple[Score, ...]:
    """Compute every definition in every region; a warning is attached to the scores it bears on."""
    parts = split_values(volume.hu, lungs.map)
    voxel_ml = volume.grid.voxel_ml
    codes = tuple(dict.fromkeys(warnings))  # a code may be told twice, of the top and of the bottom
    cut_percent = max(lungs.quality.touches_top_percent, lungs.quality.touches_bottom_percent)
    scores: list[Score] = []
    for region, bases in PARTS.items():
        values = np.concatenate([parts[base] for base in bases])
        for definition in DEFINITIONS:
            reason = _why_withheld(definition, values, thickness_mm)
            if reason is None and region not in _WHOLE_LUNGS and cut_percent > MOST_CUT_PERCENT:
                reason = f"the scan ends within the lungs ({cut_percent:.0f} % of their widest section)"
            scores.append(
                Score(
                    code=definition.code,
                    value=definition.compute(values, voxel_ml) if reason is None else None,
                    unit=definition.unit,
                    threshold=definition.threshold,
                    comparator=definition.comparator,
                    region=region,
                    n_voxels=int(values.size),
                    volume_ml=values.size * voxel_ml,
                    definition=definition.definition,
                    reference=definition.reference,
                    warnings=tuple(code for code in codes if code in definition.sensitive_to),
                    reason=reason,
                )
            )
    return tuple(scores)


def _why_withheld(definition: Definition, values: Values, thickness_mm: float) -> str | None:
    if values.size == 0:
        return "the region holds no lung voxel"
    if Code.THICK_SLICE in definition.sensitive_to and thickness_mm > THICK_WITHHELD_MM:
        return f"slices of {thickness_mm:.1f} mm average low attenuation away"
    return None
