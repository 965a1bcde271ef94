"""What a comparison is written as: `comparison.json`, a table of differences, and one of patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.outputs.tables import csv_text
from dras_model.results.comparison import ComparisonResult

COMPARISON = "comparison.json"
DIFFERENCES = "differences.csv"
PATCH_DISTANCES = "patch_distances.csv"
HEADER = (
    "FollowUp", "Region", "Image", "Score", "Unit", "Baseline", "Value", "Difference", "PerYear",
    "WithinRepeatability", "Warnings", "Reason",
)  # fmt: skip


def write_comparison(
    result: ComparisonResult, distances: Sequence[NDArray[np.float32] | None], folder: Path
) -> None:
    """Write all files; `distances` (n,) of patches, one array a follow-up, NaN where there is none."""
    (folder / DIFFERENCES).write_text(differences_csv(result), "utf-8")
    if any(each is not None for each in distances):
        (folder / PATCH_DISTANCES).write_text(distances_csv(distances), "utf-8")
    (folder / COMPARISON).write_text(result.model_dump_json(indent=1) + "\n", "utf-8")


def differences_csv(result: ComparisonResult) -> str:
    """Return one row a difference; follow-ups are counted from 1."""
    rows = [
        (
            number, d.region.value, d.image, d.code, d.unit, _cell(d.baseline), _cell(d.followup),
            _cell(d.difference), _cell(d.per_year),
            "" if d.within_repeatability is None else str(d.within_repeatability).lower(),
            " ".join(code.value for code in d.warnings), d.reason or "",
        )
        for number, followup in enumerate(result.followups, start=1)
        for d in followup.differences
    ]  # fmt: skip
    return csv_text(HEADER, rows)


def distances_csv(distances: Sequence[NDArray[np.float32] | None]) -> str:
    """Return one row a patch and follow-up, those without a distance left out."""
    rows = [
        (number, patch, repr(float(distance)))
        for number, of_followup in enumerate(distances, start=1)
        if of_followup is not None
        for patch, distance in enumerate(of_followup)
        if np.isfinite(distance)
    ]
    return csv_text(("FollowUp", "Patch", "CosineDistance"), rows)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
