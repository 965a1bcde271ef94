import numpy as np
import pytest

from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.study import Acquisition, LungQuality, RegistrationQuality, StudyWarning
from dras_model.scores.acquisition import (
    acquisition_warnings,
    lung_warnings,
    registration_warnings,
    thickness_mm,
)

CLEAN = Acquisition(manufacturer="SIEMENS", kernel="B31f", slice_thickness_mm=1.0, contrast_agent=False)
LUNGS = LungQuality(
    right_ml=3000, left_ml=2600, airway_ml=40, mean_hu=-850, height_mm=260, touches_top_percent=0,
    touches_bottom_percent=0, touches_side_percent=0,
)  # fmt: skip
ALIGNED = RegistrationQuality(
    dice_right=0.92, dice_left=0.9, determinant=1.0, rotation_degrees=5.0, coverage=1.0, matrix=()
)


def _grid(slice_mm: float = 1.0) -> Grid:
    return Grid((10, 10, 10), np.diag([slice_mm, 0.7, 0.7, 1.0])[[2, 1, 0, 3]])


def _codes(warnings: list[StudyWarning]) -> set[Code]:
    return {warning.code for warning in warnings}


def test_a_clean_scan_has_no_warning() -> None:
    assert acquisition_warnings(CLEAN, _grid()) == []
    assert lung_warnings(LUNGS) == []
    assert registration_warnings(ALIGNED) == []


@pytest.mark.parametrize(
    ("change", "slice_mm", "code"),
    [
        ({"kernel": "B70f"}, 1.0, Code.SHARP_KERNEL),
        ({"kernel": None}, 1.0, Code.UNKNOWN_KERNEL),
        ({"contrast_agent": True}, 1.0, Code.CONTRAST_ENHANCED),
        ({"slice_thickness_mm": 2.5}, 1.0, Code.THICK_SLICE),
        ({}, 2.0, Code.THICK_SLICE),
        ({"slice_thickness_mm": None}, 2.0, Code.THICK_SLICE),
    ],
)
def test_each_fault_of_the_acquisition_raises_its_warning_alone(
    change: dict[str, object], slice_mm: float, code: Code
) -> None:
    assert _codes(acquisition_warnings(CLEAN.model_copy(update=change), _grid(slice_mm))) == {code}


def test_slices_above_three_millimetres_are_severe() -> None:
    severe = acquisition_warnings(CLEAN.model_copy(update={"slice_thickness_mm": 5.0}), _grid(5.0))
    mild = acquisition_warnings(CLEAN.model_copy(update={"slice_thickness_mm": 2.5}), _grid(2.5))
    assert [warning.severity for warning in severe + mild] == ["severe", "warning"]


@pytest.mark.parametrize(
    ("stated_mm", "spacing_zyx_mm", "expected_mm"),
    [
        (1.0, (1.0, 0.7, 0.7), 1.0),
        (10.0, (3.75, 0.7, 0.7), 10.0),  # slices that overlap
        (None, (0.7, 0.7, 5.0), 5.0),  # stored sagittal
        (None, (0.7, 9.0, 0.7), 9.0),  # stored coronal
        (1.0, (2.0, 0.7, 0.7), 2.0),  # slices with gaps
    ],
)
def test_thickness_is_the_larger_of_what_is_stated_and_the_distance_along_any_axis(
    stated_mm: float | None, spacing_zyx_mm: tuple[float, float, float], expected_mm: float
) -> None:
    grid = Grid((10, 10, 10), np.diag([*spacing_zyx_mm, 1.0])[[2, 1, 0, 3]])
    acquisition = CLEAN.model_copy(update={"slice_thickness_mm": stated_mm})
    assert thickness_mm(acquisition, grid) == pytest.approx(expected_mm)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_told_whichever_axis_they_lie_along(axis: int) -> None:
    spacing = [0.7, 0.7, 0.7]
    spacing[axis] = 5.0
    grid = Grid((10, 10, 10), np.diag([*spacing, 1.0])[[2, 1, 0, 3]])
    (warning,) = acquisition_warnings(CLEAN.model_copy(update={"slice_thickness_mm": None}), grid)
    assert warning.code is Code.THICK_SLICE
    assert warning.severity == "severe"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"touches_top_percent": 40.0}, Code.INCOMPLETE_LUNG),
        ({"touches_bottom_percent": 16.0}, Code.INCOMPLETE_LUNG),
        ({"touches_side_percent": 5.0}, Code.INCOMPLETE_LUNG),
        ({"mean_hu": -694.0}, Code.NOT_INSPIRATION),
        ({"blood_hu": 300.0}, Code.CONTRAST_ENHANCED),
        ({"right_ml": 900.0, "left_ml": 800.0}, Code.ATYPICAL),
        ({"right_ml": 6000.0}, Code.SEGMENTATION_SUSPECT),
    ],
)
def test_each_fault_of_the_lungs_raises_its_warning(change: dict[str, float], code: Code) -> None:
    assert code in _codes(lung_warnings(LUNGS.model_copy(update=change)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"coverage": 0.8}, Code.PARTIAL_COVERAGE),
        ({"dice_left": 0.7}, Code.REGISTRATION_SUSPECT),
        ({"rotation_degrees": 40.0}, Code.REGISTRATION_SUSPECT),
        ({"determinant": 0.3}, Code.REGISTRATION_SUSPECT),
    ],
)
def test_each_fault_of_the_alignment_raises_its_warning_alone(change: dict[str, float], code: Code) -> None:
    assert _codes(registration_warnings(ALIGNED.model_copy(update=change))) == {code}


def test_a_warning_carries_the_numbers_behind_it() -> None:
    (warning,) = lung_warnings(LUNGS.model_copy(update={"touches_bottom_percent": 16.1}))
    assert warning.evidence["percent"] == 16.1
    assert "16.1 %" in warning.message
