"""Whether two scans of one person may be compared: what of their making differs, and how much it weighs.

Only headers and numbers of the results are asked. What a header does not say is told as not known, never taken as
equal.
"""

from dras_model.imaging.kernels import Sharpness, sharpness
from dras_model.results.codes import Code
from dras_model.results.study import Acquisition, StudyWarning

MOST_THICKNESS_RATIO = 1.25  # 9.6 against 16.1 % of low attenuation between thick and thin
MOST_KV = 0.5


def acquisition_differences(
    baseline: Acquisition, other: Acquisition, *, thickness_mm: tuple[float, float]
) -> list[StudyWarning]:
    """Say what differs between how two scans were made; `thickness_mm` is that of each."""
    warnings = [
        *_scanner(baseline, other),
        *_kernel(baseline, other),
        *_voltage(baseline, other),
        *_contrast(baseline, other),
    ]
    thin_mm, thick_mm = sorted(thickness_mm)
    if thick_mm > MOST_THICKNESS_RATIO * thin_mm:
        warnings.append(
            StudyWarning.of(Code.THICKNESS_DIFFERS, baseline_mm=thickness_mm[0], other_mm=thickness_mm[1])
        )
    if None not in (baseline.iterative, other.iterative) and baseline.iterative != other.iterative:
        warnings.append(StudyWarning.of(Code.RECONSTRUCTION_DIFFERS))
    unknown = [
        what
        for what, one, two in (
            ("the scanner", baseline.manufacturer, other.manufacturer),
            ("the kernel", baseline.kernel, other.kernel),
            ("the tube voltage", baseline.kvp, other.kvp),
        )
        if one is None or two is None
    ]
    if unknown:
        warnings.append(StudyWarning.of(Code.COMPARABILITY_UNKNOWN, what=", ".join(unknown)))
    return warnings


def _scanner(one: Acquisition, two: Acquisition) -> list[StudyWarning]:
    names = [f"{scan.manufacturer or ''} {scan.model or ''}".strip() for scan in (one, two)]
    if all(names) and names[0] != names[1]:
        return [StudyWarning.of(Code.MIXED_SCANNER, evidence=f"{names[0]} and {names[1]}")]
    if None not in (one.scanner_key, two.scanner_key) and one.scanner_key != two.scanner_key:
        return [StudyWarning.of(Code.MIXED_SCANNER, evidence=f"two of {names[0] or 'one model'}")]
    return []


def _kernel(one: Acquisition, two: Acquisition) -> list[StudyWarning]:
    """Severe where the kernels are not of one class: then a difference says nothing about the lungs."""
    if one.kernel is None or two.kernel is None or one.kernel == two.kernel:
        return []
    classes = [sharpness(scan.manufacturer, scan.kernel) for scan in (one, two)]
    severe = classes[0] is not classes[1] or Sharpness.UNKNOWN in classes
    return [StudyWarning.of(Code.KERNEL_DIFFERS, severe=severe, baseline=one.kernel, other=two.kernel)]


def _voltage(one: Acquisition, two: Acquisition) -> list[StudyWarning]:
    if one.kvp is None or two.kvp is None or abs(one.kvp - two.kvp) <= MOST_KV:
        return []
    return [StudyWarning.of(Code.KVP_DIFFERS, baseline=one.kvp, other=two.kvp)]


def _contrast(one: Acquisition, two: Acquisition) -> list[StudyWarning]:
    agents = [bool(scan.contrast_agent) for scan in (one, two)]
    if agents[0] == agents[1]:
        return []
    which = "first" if agents[0] else "second"
    return [StudyWarning.of(Code.CONTRAST_DIFFERS, evidence=f"the header of the {which} names an agent")]
