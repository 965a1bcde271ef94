"""What must be said about the scan before its scores are read: kernel, thickness, contrast, coverage.

Limits and evidence are those of the literature named beside them; each warning carries its numbers.
"""

from dras_model.imaging.kernels import Sharpness, sharpness
from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.study import Acquisition, LungQuality, RegistrationQuality, StudyWarning

THICK_MM, THICK_SEVERE_MM = 1.25, 3.0  # 9.6 against 16.1 % of low attenuation between thin and thick
MOST_CUT_PERCENT = 25.0  # beyond it a warning is severe, and thirds are withheld
TOUCHING_PERCENT = 1.0  # of the widest section, at the first or last slice
COVERED = 0.97  # of the atlas' lungs inside the scan
INSPIRED_HU = -750.0  # mean of whole lungs at full inspiration is near -850
SMALL_ML, LARGE_ML = 2000.0, 9500.0  # both lungs of an adult at inspiration
RIGHT_SHARE = (0.40, 0.65)
LEAST_DICE = 0.80
MOST_ROTATION_DEGREES = 18.0
VOLUME_RATIO = (0.55, 1.7)  # determinant of the atlas' affine


def thickness_mm(acquisition: Acquisition, grid: Grid) -> float:
    """Thickness of the slices: as stated, or their distance where that is larger or nothing is stated.

    Slices may lie along any axis of the grid, so the distance is its largest spacing.
    """
    return max(acquisition.slice_thickness_mm or 0.0, *grid.spacing_mm)


def acquisition_warnings(acquisition: Acquisition, grid: Grid) -> list[StudyWarning]:
    """What the header says of kernel, slice thickness and contrast agent."""
    warnings = []
    kernel = acquisition.kernel or "not stated"
    kind = sharpness(acquisition.manufacturer, acquisition.kernel)
    if kind is Sharpness.SHARP:
        # The largest effect of all: 14 points of LAA-950 on a pair of one acquisition.
        warnings.append(StudyWarning.of(Code.SHARP_KERNEL, severe=True, kernel=kernel))
    elif kind is Sharpness.UNKNOWN:
        warnings.append(StudyWarning.of(Code.UNKNOWN_KERNEL, kernel=kernel))
    thick_mm = thickness_mm(acquisition, grid)
    if thick_mm > THICK_MM:
        severe = thick_mm > THICK_SEVERE_MM
        warnings.append(
            StudyWarning.of(Code.THICK_SLICE, severe=severe, thickness_mm=thick_mm, limit_mm=THICK_MM)
        )
    if acquisition.contrast_agent:
        warnings.append(StudyWarning.of(Code.CONTRAST_ENHANCED, evidence="the header names an agent"))
    return warnings


def lung_warnings(lungs: LungQuality) -> list[StudyWarning]:
    """What the lung mask says of coverage, inspiration and its own plausibility."""
    warnings = []
    for where, percent, of in (
        ("top", lungs.touches_top_percent, "of their widest section"),
        ("bottom", lungs.touches_bottom_percent, "of their widest section"),
        ("side", lungs.touches_side_percent, "of the slices"),
    ):
        if percent > TOUCHING_PERCENT:
            severe = percent > MOST_CUT_PERCENT
            warnings.append(
                StudyWarning.of(Code.INCOMPLETE_LUNG, severe=severe, where=where, percent=percent, of=of)
            )
    if lungs.blood_hu is not None:
        evidence = f"blood of {lungs.blood_hu:.0f} HU is seen"
        warnings.append(StudyWarning.of(Code.CONTRAST_ENHANCED, evidence=evidence))
    if lungs.mean_hu > INSPIRED_HU:
        evidence = f"mean lung density {lungs.mean_hu:.0f} HU"
        warnings.append(StudyWarning.of(Code.NOT_INSPIRATION, evidence=evidence))
    total_ml = lungs.right_ml + lungs.left_ml
    share = lungs.right_ml / total_ml
    complete = max(lungs.touches_top_percent, lungs.touches_bottom_percent) <= TOUCHING_PERCENT
    if complete and not SMALL_ML <= total_ml <= LARGE_ML:
        warnings.append(StudyWarning.of(Code.ATYPICAL, evidence=f"both lungs hold {total_ml:.0f} mL"))
    if not RIGHT_SHARE[0] <= share <= RIGHT_SHARE[1]:
        evidence = f"the right lung holds {100 * share:.0f} % of the volume"
        warnings.append(StudyWarning.of(Code.SEGMENTATION_SUSPECT, evidence=evidence))
    return warnings


def registration_warnings(registration: RegistrationQuality) -> list[StudyWarning]:
    """What the alignment says of its own plausibility, and how much of the lungs the scan covers."""
    warnings = []
    if registration.coverage < COVERED:
        warnings.append(StudyWarning.of(Code.PARTIAL_COVERAGE, percent=100.0 * registration.coverage))
    doubts = []
    for side, dice in (("right", registration.dice_right), ("left", registration.dice_left)):
        if dice < LEAST_DICE:
            doubts.append(f"Dice of the {side} lung {dice:.2f}")
    if registration.rotation_degrees > MOST_ROTATION_DEGREES:
        doubts.append(f"rotation {registration.rotation_degrees:.0f} degrees")
    if not VOLUME_RATIO[0] <= registration.determinant <= VOLUME_RATIO[1]:
        doubts.append(f"volume ratio {registration.determinant:.2f}")
    if doubts:
        warnings.append(StudyWarning.of(Code.REGISTRATION_SUSPECT, evidence=", ".join(doubts)))
    return warnings
