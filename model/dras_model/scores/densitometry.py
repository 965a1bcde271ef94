"""Every score in every region, from the HU of the native grid: unclipped, padding removed.

A region without voxels gets its scores as null with a reason; so does every score of the histogram's
thin tail where the slices are too thick for it to mean anything.
"""

from collections.abc import Collection

import numpy as np

from dras_model.imaging.lungs import Lungs
from dras_model.imaging.volume import Grid, Volume
from dras_model.results.codes import Code
from dras_model.results.study import Region, Score
from dras_model.scores.definitions import DEFINITIONS, Definition, Values
from dras_model.scores.regions import PARTS, split_values

THICK_WITHHELD_MM = 5.05  # above 5 mm, with room for rounded positions


def measure(volume: Volume, lungs: Lungs, warnings: Collection[Code]) -> tuple[Score, ...]:
    """Compute every definition in every region; a warning is attached to the scores it bears on."""
    parts = split_values(volume.hu, lungs.map)
    scores: list[Score] = []
    for region, bases in PARTS.items():
        values = np.concatenate([parts[base] for base in bases])
        scores += [_score(definition, region, values, volume.grid, warnings) for definition in DEFINITIONS]
    return tuple(scores)


def _score(
    definition: Definition, region: Region, values: Values, grid: Grid, warnings: Collection[Code]
) -> Score:
    reason = None
    if values.size == 0:
        reason = "the region holds no lung voxel"
    elif Code.THICK_SLICE in definition.sensitive_to and grid.spacing_mm[0] > THICK_WITHHELD_MM:
        reason = f"slices {grid.spacing_mm[0]:.1f} mm apart average low attenuation away"
    value = definition.compute(values, grid.voxel_ml) if reason is None else None
    return Score(
        code=definition.code,
        value=value,
        unit=definition.unit,
        threshold=definition.threshold,
        comparator=definition.comparator,
        region=region,
        n_voxels=int(values.size),
        volume_ml=values.size * grid.voxel_ml,
        definition=definition.definition,
        reference=definition.reference,
        warnings=tuple(code for code in warnings if code in definition.sensitive_to),
        reason=reason,
    )
