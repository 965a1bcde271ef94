"""Tables for a cohort: `regions.csv`, one row a region and image, and `patches.csv`, one row a patch.

Columns of regions are those of the Chest Imaging Platform's phenotypes where it has them. What could not be given
is an empty cell; `result.json` says why.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.patches import Patches
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import StudyResult

HEADER = ("Region", "Image", "Phase", "NVoxels", *COLUMNS.values(), "Warnings")


def regions_csv(result: StudyResult) -> str:
    """Return the regions that the result has, as CSV with a header; floats keep every digit of a float64."""
    scores = {(score.image, score.region, score.code): score for score in result.scores}
    rows = []
    for image, region in dict.fromkeys((image, region) for image, region, _ in scores):
        own = [scores.get((image, region, code)) for code in COLUMNS]
        given = [score for score in own if score is not None]
        if not given:
            continue
        codes = dict.fromkeys(code.value for score in given for code in score.warnings)
        values = ["" if score is None or score.value is None else repr(score.value) for score in own]
        first = given[0]
        rows.append([region.value, image, first.phase, first.n_voxels, *values, " ".join(codes)])
    return _csv(HEADER, rows)


def patches_csv(patches: Patches, densitometry: Mapping[str, NDArray[np.float32]]) -> str:
    """Return validity and densitometry of every patch, in the atlas' order, NaN as an empty cell."""
    columns: dict[str, NDArray[np.generic]] = {
        "patch": np.arange(len(patches.valid)),
        "valid": patches.valid.astype(np.uint8),
        "inside": patches.inside,
        "lung_fraction": patches.lung_fraction,
        **densitometry,
    }
    rows = zip(*(map(_cell, values.tolist()) for values in columns.values()), strict=True)
    return _csv(list(columns), rows)


def _cell(value: float) -> str:
    """Write a number: seven digits hold a float32 to within its own rounding."""
    return "" if value != value else f"{value:.7g}"  # noqa: PLR0124 - NaN alone is unequal to itself


def _csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
