import numpy as np
import pytest

from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.study import Acquisition
from dras_model.scores.acquisition import acquisition_warnings, phase_of, thickness_mm
from dras_model.scores.limits import Limits

from .conftest import codes_of

CLEAN = Acquisition(
    manufacturer="SIEMENS", kernel="B31f", slice_thickness_mm=1.0, contrast_agent=False, kvp=120.0,
    patient_position="HFS", exposure_mas=200.0, ctdi_vol_mgy=9.0, iterative=False, phase_stated="inspiration",
)  # fmt: skip


def _grid(slice_mm: float = 1.0) -> Grid:
    return Grid((10, 10, 10), np.diag([slice_mm, 0.7, 0.7, 1.0])[[2, 1, 0, 3]])


def test_a_clean_scan_has_no_warning() -> None:
    assert acquisition_warnings(CLEAN, _grid()) == []


def test_a_header_that_says_nothing_but_its_kernel_raises_nothing() -> None:
    assert acquisition_warnings(Acquisition(manufacturer="SIEMENS", kernel="B31f"), _grid()) == []


@pytest.mark.parametrize(
    ("change", "slice_mm", "code"),
    [
        ({"kernel": "B70f"}, 1.0, Code.SHARP_KERNEL),
        ({"kernel": None}, 1.0, Code.UNKNOWN_KERNEL),
        ({"contrast_agent": True}, 1.0, Code.CONTRAST_ENHANCED),
        ({"slice_thickness_mm": 2.5}, 1.0, Code.THICK_SLICE),
        ({}, 2.0, Code.THICK_SLICE),
        ({"slice_thickness_mm": None}, 2.0, Code.THICK_SLICE),
        ({"phase_stated": "expiration"}, 1.0, Code.NOT_INSPIRATION),
        ({"exposure_mas": 30.0}, 1.0, Code.LOW_DOSE),
        ({"exposure_mas": None, "ctdi_vol_mgy": 1.5}, 1.0, Code.LOW_DOSE),
        ({"iterative": True}, 1.0, Code.ITERATIVE_RECON),
        ({"kvp": 100.0}, 1.0, Code.KVP_NOT_120),
        ({"patient_position": "HFP"}, 1.0, Code.NOT_SUPINE),
        ({"patient_position": "FFDR"}, 1.0, Code.NOT_SUPINE),
    ],
)
def test_each_fault_of_the_acquisition_raises_its_warning_alone(
    change: dict[str, object], slice_mm: float, code: Code
) -> None:
    assert codes_of(acquisition_warnings(CLEAN.model_copy(update=change), _grid(slice_mm))) == {code}


@pytest.mark.parametrize(
    "change", [{"patient_position": "FFS"}, {"exposure_mas": 50.0}, {"exposure_mas": 0.0}]
)
def test_what_is_at_or_within_its_limit_raises_nothing(change: dict[str, object]) -> None:
    assert acquisition_warnings(CLEAN.model_copy(update=change), _grid()) == []


def test_slices_above_three_millimetres_are_severe() -> None:
    severe = acquisition_warnings(CLEAN.model_copy(update={"slice_thickness_mm": 5.0}), _grid(5.0))
    mild = acquisition_warnings(CLEAN.model_copy(update={"slice_thickness_mm": 2.5}), _grid(2.5))
    assert [warning.severity for warning in severe + mild] == ["severe", "warning"]


def test_a_limit_that_a_caller_sets_is_the_one_that_counts() -> None:
    assert codes_of(acquisition_warnings(CLEAN, _grid(), limits=Limits(thick_mm=0.9))) == {Code.THICK_SLICE}
    assert codes_of(acquisition_warnings(CLEAN, _grid(), limits=Limits(kvp=100.0))) == {Code.KVP_NOT_120}


@pytest.mark.parametrize(
    ("stated", "asked", "phase"),
    [
        ("expiration", "auto", "expiration"),
        (None, "auto", "unknown"),
        (None, "inspiration", "inspiration"),
        ("inspiration", "expiration", "expiration"),
    ],
)
def test_the_callers_word_on_the_breath_goes_before_the_headers(
    stated: str | None, asked: str, phase: str
) -> None:
    assert phase_of(CLEAN.model_copy(update={"phase_stated": stated}), asked) == phase


def test_a_header_that_contradicts_the_caller_is_told() -> None:
    stated = CLEAN.model_copy(update={"phase_stated": "expiration"})
    (warning,) = acquisition_warnings(stated, _grid(), phase="inspiration")
    assert warning.code is Code.NOT_INSPIRATION
    assert "description names expiration" in warning.message
    (warning,) = acquisition_warnings(CLEAN, _grid(), phase="expiration")
    assert "said to be at expiration" in warning.message


@pytest.mark.parametrize(
    ("stated_mm", "spacing_zyx_mm", "expected_mm"),
    [
        (1.0, (1.0, 0.7, 0.7), 1.0),
        (10.0, (3.75, 0.7, 0.7), 10.0),  # slices that overlap
        (None, (0.7, 0.7, 5.0), 5.0),  # stored sagittal
        (None, (0.7, 9.0, 0.7), 9.0),  # stored coronal
        (1.0, (2.0, 0.7, 0.7), 2.0),  # slices with gaps
        (None, (3.99, 4.17, 4.17), 3.99),  # slices finer than the pixels
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
