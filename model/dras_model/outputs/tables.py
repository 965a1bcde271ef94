"""`regions.csv`: one row a region, columns as in the Chest Imaging Platform's phenotypes.

A score that could not be given is an empty cell; `result.json` says why.
"""

import csv
import io

from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import Region, StudyResult

HEADER = ("Region", "NVoxels", *COLUMNS.values(), "Warnings")


def regions_csv(result: StudyResult) -> str:
    """Return the table as CSV text with a header; floats keep every digit that a float64 needs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for region in Region:
        scores = [result.score(code, region) for code in COLUMNS]
        codes = dict.fromkeys(code.value for score in scores for code in score.warnings)
        values = ["" if score.value is None else repr(score.value) for score in scores]
        writer.writerow([region.value, scores[0].n_voxels, *values, " ".join(codes)])
    return text.getvalue()
