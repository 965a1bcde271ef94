import csv
import io

from dras_model.outputs.tables import HEADER, regions_csv
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import Region, StudyResult


def _rows(result: StudyResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(regions_csv(result))))


def _without(result: StudyResult, code: str, region: Region) -> StudyResult:
    scores = tuple(
        score.model_copy(update={"value": None, "reason": "none"})
        if (score.code, score.region) == (code, region)
        else score
        for score in result.scores
    )
    return result.model_copy(update={"scores": scores})


def test_every_region_is_a_row_and_every_score_a_column_of_its_own(result: StudyResult) -> None:
    rows = _rows(result)
    assert tuple(rows[0]) == HEADER
    assert [row["Region"] for row in rows] == [region.value for region in Region]
    numbers = [float(row[column]) for row in rows for column in COLUMNS.values()]
    assert numbers == [n + 0.1 for n in range(len(Region) * len(COLUMNS))]


def test_a_score_that_is_null_is_an_empty_cell_and_its_row_keeps_the_others(result: StudyResult) -> None:
    rows = {row["Region"]: row for row in _rows(_without(result, "Perc15", Region.LEFT))}
    assert rows["left"]["Perc15"] == ""
    assert rows["left"]["NVoxels"] == "7"
    assert all(rows["left"][column] for code, column in COLUMNS.items() if code != "Perc15")
    assert rows["right"]["Perc15"] != ""


def test_a_number_comes_back_from_the_table_to_the_last_bit(result: StudyResult) -> None:
    third = result.scores[0].model_copy(update={"value": 1.0 / 3.0})
    rows = _rows(result.model_copy(update={"scores": (third, *result.scores[1:])}))
    assert float(rows[0]["LAA950"]) == 1.0 / 3.0


def test_the_warnings_of_a_regions_scores_are_told_once_in_its_row(result: StudyResult) -> None:
    assert {row["Warnings"] for row in _rows(result)} == {"LOSSY"}
