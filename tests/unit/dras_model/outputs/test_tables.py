import csv
import io

import numpy as np

from dras_model.outputs.features import Features
from dras_model.outputs.tables import HEADER, patches_csv, regions_csv
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


def test_a_region_that_the_result_does_not_know_has_no_row(result: StudyResult) -> None:
    known = tuple(score for score in result.scores if score.region is not Region.RIGHT_MIDDLE_LOBE)
    regions = [row["Region"] for row in _rows(result.model_copy(update={"scores": known}))]
    assert regions == [region.value for region in Region if region is not Region.RIGHT_MIDDLE_LOBE]


def test_the_harmonised_image_has_rows_of_its_own(result: StudyResult) -> None:
    again = result.scores[0].model_copy(update={"image": "harmonised", "value": 3.5})
    rows = _rows(result.model_copy(update={"scores": (*result.scores, again)}))
    assert [(row["Image"], row["Region"], row["LAA950"]) for row in rows if row["Image"] != "raw"] == [
        ("harmonised", "whole", "3.5")
    ]
    assert rows[-1]["LAA910"] == ""


def test_a_patch_is_a_row_with_its_validity_and_no_number_where_it_holds_no_lung() -> None:
    features = Features(
        embeddings=np.zeros((2, 3), np.float32),
        corners=np.zeros((2, 3), np.int64),
        locations=np.zeros((2, 3), np.float32),
        valid=np.array([True, False]),
        inside=np.array([1.0, 0.5], np.float32),
        lung_fraction=np.array([0.25, 0.0], np.float32),
        corner_mm=np.zeros((2, 3)),
        densitometry={"laa950": np.array([1 / 3, np.nan], np.float32)},
        lattice=None,
    )
    assert patches_csv(features).splitlines() == [
        "patch,valid,inside,lung_fraction,laa950",
        "0,1,1,0.25,0.3333333",
        "1,0,0.5,0,",
    ]
