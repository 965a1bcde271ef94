"""What is taken over is checked as a stranger's word: form, length, characters."""

import pytest
from pydantic import ValidationError

from dras_model.imaging.source_series import TAKEN_OVER, SourceSeries, is_of_form
from unit.dras_model.outputs.dicom.scenes import source_series


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "A\nB"),
        ("PatientName", "a=b=c=d"),
        ("PatientName", "x" * 65),
        ("PatientID", "a\\b"),
        ("PatientBirthDate", "19450000"),
        ("PatientBirthDate", "20230229"),
        ("PatientBirthDate", "1945-01-01"),
        ("StudyTime", "2460"),
        ("StudyTime", "ab"),
        ("PatientSex", "X"),
        ("PatientAge", "58"),
        ("StudyID", "x" * 17),
        ("InstitutionName", "Hospital"),
    ],
)
def test_a_value_of_another_form_is_none_that_is_taken_over(keyword: str, value: str) -> None:
    assert not is_of_form(keyword, value)
    with pytest.raises(ValidationError):
        source_series(attributes={keyword: value})


@pytest.mark.parametrize("keyword", TAKEN_OVER)
def test_an_empty_value_is_of_every_form(keyword: str) -> None:
    assert is_of_form(keyword, "")


@pytest.mark.parametrize("uid", ["", "1.2.", "1..2", "1.2.a", "1" * 65, "1.2\n"])
@pytest.mark.parametrize("name", ["study_instance_uid", "series_instance_uid", "frame_of_reference_uid"])
def test_what_is_no_uid_is_refused(name: str, uid: str) -> None:
    with pytest.raises(ValidationError):
        source_series(**{name: uid})


def test_the_step_is_the_mean_of_regular_gaps_and_none_where_one_differs() -> None:
    assert source_series().regular_step_mm == pytest.approx(1.5)
    assert source_series(1).regular_step_mm is None
    images = [image.model_dump() for image in source_series().images]
    images[2]["position_mm"] = (-2.0, -3.0, 4.6)
    assert source_series(images=images).regular_step_mm is None


def test_it_survives_the_line_between_two_processes() -> None:
    told = source_series()
    assert SourceSeries.model_validate_json(told.model_dump_json()) == told
