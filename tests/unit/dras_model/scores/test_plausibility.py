import numpy as np
import pytest

from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.study import ImageQuality, LungQuality, RegistrationQuality, StudyWarning
from dras_model.scores.limits import Limits
from dras_model.scores.plausibility import (
    cut_percent,
    domain_warnings,
    image_warnings,
    lung_warnings,
    registration_warnings,
    told_once,
)

from .conftest import codes_of

LUNGS = LungQuality(
    right_ml=3000, left_ml=2600, airway_ml=40, mean_hu=-850, height_mm=260, touches_top_percent=0,
    touches_bottom_percent=0, touches_side_percent=0,
)  # fmt: skip
IMAGE = ImageQuality(air_hu=-995, noise_hu=14, air_voxels=4000, lowest_hu=-1019, at_lowest_percent=0.0002)
ALIGNED = RegistrationQuality(
    dice_right=0.92, dice_left=0.9, determinant=1.0, rotation_degrees=5.0, coverage=1.0, matrix=()
)
GRID = Grid((10, 10, 10), np.diag([1.0, 0.7, 0.7, 1.0])[[2, 1, 0, 3]])


def _domain(**change: float) -> set[Code]:
    return codes_of(domain_warnings(GRID, 1.0, lungs=LUNGS.model_copy(update=change), image=IMAGE))


def test_a_clean_scan_has_no_warning() -> None:
    assert lung_warnings(LUNGS) == []
    assert image_warnings(IMAGE) == []
    assert registration_warnings(ALIGNED) == []
    assert domain_warnings(GRID, 1.0, lungs=LUNGS, image=IMAGE) == []


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"touches_top_percent": 40.0}, {Code.INCOMPLETE_LUNG}),
        ({"touches_bottom_percent": 16.0}, {Code.INCOMPLETE_LUNG}),
        ({"touches_side_percent": 5.0}, {Code.INCOMPLETE_LUNG}),
        ({"mean_hu": -694.0}, {Code.NOT_INSPIRATION}),
        ({"right_ml": 1500.0, "left_ml": 1300.0}, {Code.NOT_INSPIRATION}),
        ({"blood_hu": 300.0}, {Code.CONTRAST_ENHANCED}),
        ({"right_ml": 5200.0, "left_ml": 4700.0}, {Code.ATYPICAL}),
        ({"right_ml": 900.0, "left_ml": 800.0}, {Code.ATYPICAL, Code.NOT_INSPIRATION}),
        ({"right_ml": 6000.0}, {Code.SEGMENTATION_SUSPECT}),
        ({"airway_ml": 0.0}, {Code.SEGMENTATION_SUSPECT}),
    ],
)
def test_each_fault_of_the_lungs_raises_its_warning_alone(change: dict[str, float], codes: set[Code]) -> None:
    assert codes_of(lung_warnings(LUNGS.model_copy(update=change))) == codes


def test_lungs_that_the_scan_cuts_are_not_called_small_nor_their_airway_missing() -> None:
    cut = LUNGS.model_copy(
        update={"right_ml": 900.0, "left_ml": 800.0, "airway_ml": 0.0, "touches_top_percent": 60.0}
    )
    assert codes_of(lung_warnings(cut)) == {Code.INCOMPLETE_LUNG}
    assert cut_percent(cut) == 60.0


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"noise_hu": 31.0}, Code.HIGH_NOISE, "warning"),
        ({"noise_hu": 60.0}, Code.HIGH_NOISE, "severe"),
        ({"air_hu": -960.0}, Code.AIR_CALIBRATION, "warning"),
        ({"air_hu": -1031.0}, Code.AIR_CALIBRATION, "warning"),
        ({"lowest_hu": -1024.0, "at_lowest_percent": 3.9}, Code.HU_FLOOR, "warning"),
    ],
)
def test_each_fault_of_the_image_raises_its_warning_alone(
    change: dict[str, float], code: Code, severity: str
) -> None:
    (warning,) = image_warnings(IMAGE.model_copy(update=change))
    assert (warning.code, warning.severity) == (code, severity)


def test_air_that_is_not_seen_raises_nothing() -> None:
    unseen = IMAGE.model_copy(update={"air_hu": None, "noise_hu": None, "air_voxels": 3})
    assert image_warnings(unseen) == []
    assert domain_warnings(GRID, 1.0, lungs=LUNGS, image=unseen) == []


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
    assert codes_of(registration_warnings(ALIGNED.model_copy(update=change))) == {code}


def test_a_number_outside_the_verified_range_is_told_with_the_range() -> None:
    assert _domain(mean_hu=-500.0) == {Code.OUT_OF_DOMAIN}
    assert _domain(right_ml=300.0, left_ml=300.0) == {Code.OUT_OF_DOMAIN}
    thick = domain_warnings(GRID, 7.0, lungs=LUNGS, image=IMAGE)
    assert [warning.message for warning in thick] == [
        "The slice thickness is 7 mm, outside 0.3 to 5.05 mm, where the scores were verified."
    ]
    noisy = domain_warnings(GRID, 1.0, lungs=LUNGS, image=IMAGE.model_copy(update={"noise_hu": 150.0}))
    assert codes_of(noisy) == {Code.OUT_OF_DOMAIN}
    coarse = Grid((10, 10, 10), np.diag([4.0, 4.0, 4.0, 1.0])[[2, 1, 0, 3]])
    assert codes_of(domain_warnings(coarse, 4.0, lungs=LUNGS, image=IMAGE)) == {Code.OUT_OF_DOMAIN}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_size_of_a_pixel_is_that_of_the_pixels_whichever_axis_the_slices_lie_along(axis: int) -> None:
    spacing_mm = [4.17, 4.17, 4.17]
    spacing_mm[axis] = 3.99
    grid = Grid((10, 10, 10), np.diag([*spacing_mm, 1.0])[[2, 1, 0, 3]])
    (warning,) = domain_warnings(grid, 3.99, lungs=LUNGS, image=IMAGE)
    assert warning.message.startswith("The size of a pixel is 4.17 mm")


def test_a_limit_that_a_caller_sets_is_the_one_that_counts() -> None:
    assert codes_of(lung_warnings(LUNGS, Limits(inspired_hu=-900.0))) == {Code.NOT_INSPIRATION}
    assert codes_of(image_warnings(IMAGE, Limits(noise_hu=10.0))) == {Code.HIGH_NOISE}
    assert codes_of(registration_warnings(ALIGNED, Limits(least_dice=0.95))) == {Code.REGISTRATION_SUSPECT}


def test_what_header_and_image_say_alike_is_said_once_with_both_reasons() -> None:
    said = StudyWarning.of(Code.NOT_INSPIRATION, evidence="it is said to be at expiration")
    dense = StudyWarning.of(Code.NOT_INSPIRATION, severe=True, evidence="mean lung density -600 HU")
    cut = lung_warnings(LUNGS.model_copy(update={"touches_top_percent": 9.0, "touches_bottom_percent": 8.0}))
    joined, *rest = told_once([said, *cut, dense])
    assert joined.code is Code.NOT_INSPIRATION
    assert joined.severity == "severe"
    assert joined.evidence["evidence"] == "it is said to be at expiration, mean lung density -600 HU"
    assert rest == cut  # of the top and of the bottom: two things


def test_a_warning_carries_the_numbers_behind_it() -> None:
    (warning,) = lung_warnings(LUNGS.model_copy(update={"touches_bottom_percent": 16.1}))
    assert warning.evidence["percent"] == 16.1
    assert "16.1 %" in warning.message
