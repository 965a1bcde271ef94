import math

import pytest
from pydantic import ValidationError

from dras_model.results.codes import Code
from dras_model.results.study import Acquisition, PatchQuality, Region, Score, StudyWarning

SCORE = {
    "code": "MLD", "unit": "HU", "region": Region.WHOLE, "n_voxels": 1, "volume_ml": 1.0,
    "definition": "mean", "reference": "none",
}  # fmt: skip


def test_a_score_has_a_value_or_a_reason() -> None:
    assert Score(**SCORE, value=-850.0).reason is None
    assert Score(**SCORE, value=None, reason="no voxel").value is None


@pytest.mark.parametrize("given", [{"value": None}, {"value": -850.0, "reason": "no voxel"}])
def test_a_score_with_neither_or_both_is_invalid(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a value, or a reason"):
        Score(**SCORE, **given)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_of_a_result_is_infinite_or_undefined(number: float) -> None:
    with pytest.raises(ValidationError):
        Score(**SCORE, value=number)
    with pytest.raises(ValidationError):
        Acquisition(kvp=number)
    with pytest.raises(ValidationError):
        StudyWarning(code=Code.LOSSY, message="", evidence={"mm": number})


def test_a_count_is_a_whole_number() -> None:
    with pytest.raises(ValidationError):
        PatchQuality(n_patches=1.5, n_valid=1, n_outside=0, n_little_lung=0)
