"""What the image, its lungs and its alignment say against the scores: each warning carries the numbers."""

from collections.abc import Iterable, Iterator

from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.study import ImageQuality, LungQuality, RegistrationQuality, StudyWarning
from dras_model.scores.limits import Limits, Range


def lung_warnings(lungs: LungQuality, limits: Limits | None = None) -> list[StudyWarning]:
    """What the lung mask says of coverage, inspiration and its own plausibility."""
    limits = limits or Limits()
    warnings = list(_coverage_warnings(lungs, limits))
    complete = cut_percent(lungs) <= limits.touching_percent
    total_ml = lungs.right_ml + lungs.left_ml
    if lungs.blood_hu is not None:
        evidence = f"blood of {lungs.blood_hu:.0f} HU is seen"
        warnings.append(StudyWarning.of(Code.CONTRAST_ENHANCED, evidence=evidence))
    breath = []
    if lungs.mean_hu > limits.inspired_hu:
        breath.append(f"mean lung density {lungs.mean_hu:.0f} HU")
    if complete and total_ml < limits.inspired_ml:
        breath.append(f"both lungs hold {total_ml:.0f} mL")
    if breath:
        warnings.append(StudyWarning.of(Code.NOT_INSPIRATION, evidence=", ".join(breath)))
    if complete and _outside(total_ml, limits.typical_ml):
        warnings.append(StudyWarning.of(Code.ATYPICAL, evidence=f"both lungs hold {total_ml:.0f} mL"))
    return warnings + _segmentation_warnings(lungs, limits)


def cut_percent(lungs: LungQuality) -> float:
    """Lung at the scan's ends, in percent of the widest section."""
    return max(lungs.touches_top_percent, lungs.touches_bottom_percent)


def _coverage_warnings(lungs: LungQuality, limits: Limits) -> Iterator[StudyWarning]:
    for where, percent, of in (
        ("top", lungs.touches_top_percent, "of their widest section"),
        ("bottom", lungs.touches_bottom_percent, "of their widest section"),
        ("side", lungs.touches_side_percent, "of the slices"),
    ):
        if percent > limits.touching_percent:
            severe = percent > limits.most_cut_percent
            yield StudyWarning.of(Code.INCOMPLETE_LUNG, severe=severe, where=where, percent=percent, of=of)


def _segmentation_warnings(lungs: LungQuality, limits: Limits) -> list[StudyWarning]:
    doubts = []
    share = lungs.right_ml / max(lungs.right_ml + lungs.left_ml, 1e-9)
    if _outside(share, limits.right_share):
        doubts.append(f"the right lung holds {100 * share:.0f} % of the volume")
    for percent, limit, text in (
        (lungs.dense_percent, limits.dense_percent, "of the mask is as dense as soft tissue"),
        (lungs.open_border_percent, limits.open_border_percent, "of what borders the mask looks like lung"),
        (lungs.rough_percent, limits.rough_percent, "of the mask is spikes, holes or leaks"),
    ):
        if percent > limit:
            doubts.append(f"{percent:.0f} % {text}")
    # A scan that ends within the lungs may not show the trachea.
    if lungs.touches_top_percent <= limits.touching_percent and lungs.airway_ml < limits.least_airway_ml:
        doubts.append(f"trachea and main bronchi hold {lungs.airway_ml:.0f} mL")
    return [StudyWarning.of(Code.SEGMENTATION_SUSPECT, evidence=", ".join(doubts))] if doubts else []


def image_warnings(image: ImageQuality, limits: Limits | None = None) -> list[StudyWarning]:
    """What the image says of its noise, of its calibration and of a floor below which it shows nothing."""
    limits = limits or Limits()
    warnings = []
    if image.noise_hu is not None and image.noise_hu > limits.noise_hu:
        severe = image.noise_hu > limits.noise_severe_hu
        warnings.append(
            StudyWarning.of(Code.HIGH_NOISE, severe=severe, noise_hu=image.noise_hu, limit_hu=limits.noise_hu)
        )
    low, high = limits.air_hu
    if image.air_hu is not None and _outside(image.air_hu, limits.air_hu):
        warnings.append(StudyWarning.of(Code.AIR_CALIBRATION, air_hu=image.air_hu, low_hu=low, high_hu=high))
    if image.at_lowest_percent > limits.floor_percent:
        warnings.append(
            StudyWarning.of(Code.HU_FLOOR, percent=image.at_lowest_percent, lowest_hu=image.lowest_hu)
        )
    return warnings


def domain_warnings(
    grid: Grid, thickness_mm: float, *, lungs: LungQuality, image: ImageQuality, limits: Limits | None = None
) -> list[StudyWarning]:
    """Which numbers lie outside the range over which the scores were held against truth."""
    limits = limits or Limits()
    pixel_mm = max(mm for axis, mm in enumerate(grid.spacing_mm) if axis != grid.slice_axis)
    numbers: list[tuple[str, str, float | None, Range]] = [
        ("size of a pixel", "mm", pixel_mm, limits.domain_pixel_mm),
        ("slice thickness", "mm", thickness_mm, limits.domain_slice_mm),
        ("mean lung density", "HU", lungs.mean_hu, limits.domain_lung_hu),
        ("volume of both lungs", "mL", lungs.right_ml + lungs.left_ml, limits.domain_lung_ml),
        ("noise in the trachea", "HU", image.noise_hu, limits.domain_noise_hu),
    ]
    return [
        StudyWarning.of(
            Code.OUT_OF_DOMAIN, what=what, value=value, unit=unit, low=allowed[0], high=allowed[1]
        )
        for what, unit, value, allowed in numbers
        if value is not None and _outside(value, allowed)
    ]


def registration_warnings(
    registration: RegistrationQuality, limits: Limits | None = None
) -> list[StudyWarning]:
    """What the alignment says of its own plausibility, and how much of the lungs the scan covers."""
    limits = limits or Limits()
    warnings = []
    if registration.coverage < limits.covered:
        warnings.append(StudyWarning.of(Code.PARTIAL_COVERAGE, percent=100.0 * registration.coverage))
    doubts = []
    for side, dice in (("right", registration.dice_right), ("left", registration.dice_left)):
        if dice < limits.least_dice:
            doubts.append(f"Dice of the {side} lung {dice:.2f}")
    if registration.rotation_degrees > limits.most_rotation_degrees:
        doubts.append(f"rotation {registration.rotation_degrees:.0f} degrees")
    if _outside(registration.determinant, limits.volume_ratio):
        doubts.append(f"volume ratio {registration.determinant:.2f}")
    if doubts:
        warnings.append(StudyWarning.of(Code.REGISTRATION_SUSPECT, evidence=", ".join(doubts)))
    return warnings


def told_once(warnings: Iterable[StudyWarning]) -> tuple[StudyWarning, ...]:
    """Join warnings of one code that header and image raise alike: one sentence with both their evidence."""
    joined: dict[object, StudyWarning] = {}
    for index, warning in enumerate(warnings):
        key: object = warning.code if warning.evidence.keys() == {"evidence"} else index
        first = joined.get(key)
        if first is None:
            joined[key] = warning
            continue
        severe = "severe" in {first.severity, warning.severity}
        evidence = f"{first.evidence['evidence']}, {warning.evidence['evidence']}"
        joined[key] = StudyWarning.of(warning.code, severe=severe, evidence=evidence)
    return tuple(joined.values())


def _outside(value: float, allowed: Range) -> bool:
    return not allowed[0] <= value <= allowed[1]
