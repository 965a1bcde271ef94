"""Tables for a cohort: `regions`, one row a region and image, and `patches`, one row a patch; as text and typed.

Columns of regions are those of the Chest Imaging Platform's phenotypes where it has them. What could not be given
is an empty cell, null in Parquet; `result.json` says why.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dras_model.outputs.features import Features
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import StudyResult

HEADER = ("Region", "Image", "Phase", "NVoxels", *COLUMNS.values(), "Warnings")
Cell = str | int | float | None


def region_rows(result: StudyResult) -> Iterator[dict[str, Cell]]:
    """Yield the regions that the result has, one row a region and image, by the columns of HEADER."""
    scores = {(score.image, score.region, score.code): score for score in result.scores}
    for image, region in dict.fromkeys((image, region) for image, region, _ in scores):
        own = {column: scores.get((image, region, code)) for code, column in COLUMNS.items()}
        given = [score for score in own.values() if score is not None]
        if not given:
            continue
        codes = dict.fromkeys(code.value for score in given for code in score.warnings)
        values = {column: None if score is None else score.value for column, score in own.items()}
        yield {
            "Region": region.value,
            "Image": image,
            "Phase": given[0].phase,
            "NVoxels": given[0].n_voxels,
            **values,
            "Warnings": " ".join(codes),
        }


def regions_csv(result: StudyResult) -> str:
    """Return the regions as CSV with a header; floats keep every digit of a float64."""
    return csv_text(HEADER, ([_exact(row[name]) for name in HEADER] for row in region_rows(result)))


def patch_columns(features: Features) -> Mapping[str, NDArray[np.generic]]:
    """Return the columns of one number a patch (n,), in the atlas' order."""
    return {
        "patch": np.arange(len(features.valid)),
        "valid": features.valid,
        "inside": features.inside,
        "lung_fraction": features.lung_fraction,
        **features.densitometry,
    }


def patches_csv(features: Features) -> str:
    """Return validity and densitometry of every patch, in the atlas' order, NaN as an empty cell."""
    columns = patch_columns(features)
    rows = zip(*(map(_seven, values.tolist()) for values in columns.values()), strict=True)
    return csv_text(list(columns), rows)


def _exact(value: Cell) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _seven(value: float) -> str:
    """Write a number: seven digits hold a float32 to within its own rounding."""
    return "" if value != value else f"{value:.7g}"  # noqa: PLR0124 - NaN alone is unequal to itself


def csv_text(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return rows below their header, lines ended as on Unix."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
