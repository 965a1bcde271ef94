import pickle
import string
from pathlib import Path

import pytest

from dras_model.results.codes import CODES, Code, Kind, render
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import StudyWarning

ROOT = Path(__file__).parents[4]
PACKAGES = (
    ROOT / "model" / "dras_model",
    ROOT / "training" / "dras_training",
    ROOT / "service" / "dras_service",
)


def test_every_code_has_its_sentence() -> None:
    assert set(CODES) == set(Code)


@pytest.mark.parametrize("code", list(Code))
def test_a_sentence_begins_with_a_capital_or_a_field_and_ends_with_a_stop(code: Code) -> None:
    sentence = CODES[code].sentence
    assert sentence[0].isupper() or sentence.startswith("{")
    assert sentence.endswith(".")


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_raised_somewhere(code: Code) -> None:
    users = [path for place in PACKAGES for path in place.rglob("*.py") if path.name != "codes.py"]
    assert any(f"Code.{code.name}" in path.read_text("utf-8") for path in users)


def test_a_missing_field_is_a_defect_that_shows() -> None:
    with pytest.raises(KeyError):
        render(Code.TILT, {})


def test_a_warning_cannot_be_raised_as_a_refusal() -> None:
    with pytest.raises(TypeError, match="warning"):
        StudyRefused(Code.TILT, degrees=3.0)


def test_a_refusal_cannot_be_attached_as_a_warning() -> None:
    with pytest.raises(TypeError, match="no warning"):
        StudyWarning.of(Code.NOT_DICOM, n_files=3)


def test_a_refusal_survives_the_way_between_processes() -> None:
    refused = pickle.loads(pickle.dumps(StudyRefused(Code.NOT_DICOM, n_files=3)))
    assert (refused.code, refused.fields) == (Code.NOT_DICOM, {"n_files": 3})
    assert "3 files" in str(refused)


def test_a_setup_fault_and_a_study_fault_are_told_apart() -> None:
    assert SetupRefused(Code.BUNDLE_NOT_FOUND, name="x").kind is Kind.SETUP
    assert StudyRefused(Code.NOT_DICOM, n_files=0).kind is Kind.REFUSAL


def test_no_sentence_names_a_field_by_position() -> None:
    for code in Code:
        names = [
            field for _, field, _, _ in string.Formatter().parse(CODES[code].sentence) if field is not None
        ]
        assert all(name.isidentifier() for name in names)
