"""What the header says against a scan's scores: kernel, thickness, contrast, breath, dose, voltage, posture."""

from typing import Literal

from dras_model.imaging.kernels import Sharpness, sharpness
from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.study import Acquisition, StudyWarning
from dras_model.scores.limits import Limits

Phase = Literal["inspiration", "expiration", "unknown"]
AskedPhase = Literal["inspiration", "expiration", "auto"]
SUPINE = "S"  # third letter of PatientPosition (PS3.3 C.7.3.1.1.2), as in HFS and FFS


def thickness_mm(acquisition: Acquisition, grid: Grid) -> float:
    """Thickness of the slices: as stated, or their distance where that is larger or nothing is stated."""
    return max(acquisition.slice_thickness_mm or 0.0, grid.spacing_mm[grid.slice_axis])


def phase_of(acquisition: Acquisition, asked: AskedPhase = "auto") -> Phase:
    """Return the breath of a scan: as the caller says, else as the header names it, else unknown."""
    return asked if asked != "auto" else acquisition.phase_stated or "unknown"


def acquisition_warnings(
    acquisition: Acquisition, grid: Grid, *, limits: Limits | None = None, phase: Phase | None = None
) -> list[StudyWarning]:
    """Judge the header; `phase` is what the caller knows of the breath, else the header is asked."""
    limits = limits or Limits()
    return [
        *_kernel_warnings(acquisition),
        *_thickness_warnings(thickness_mm(acquisition, grid), limits),
        *_breath_warnings(acquisition, phase or phase_of(acquisition)),
        *_dose_warnings(acquisition, limits),
        *_posture_warnings(acquisition),
    ]


def _kernel_warnings(acquisition: Acquisition) -> list[StudyWarning]:
    warnings = []
    kernel = acquisition.kernel or "not stated"
    kind = sharpness(acquisition.manufacturer, acquisition.kernel)
    if kind is Sharpness.SHARP:
        # The largest effect of all: 14 points of LAA-950 on a pair of one acquisition.
        warnings.append(StudyWarning.of(Code.SHARP_KERNEL, severe=True, kernel=kernel))
    elif kind is Sharpness.UNKNOWN:
        warnings.append(StudyWarning.of(Code.UNKNOWN_KERNEL, kernel=kernel))
    if acquisition.iterative:
        warnings.append(StudyWarning.of(Code.ITERATIVE_RECON))
    return warnings


def _thickness_warnings(thick_mm: float, limits: Limits) -> list[StudyWarning]:
    if thick_mm <= limits.thick_mm:
        return []
    severe = thick_mm > limits.thick_severe_mm
    return [StudyWarning.of(Code.THICK_SLICE, severe=severe, thickness_mm=thick_mm, limit_mm=limits.thick_mm)]


def _breath_warnings(acquisition: Acquisition, phase: Phase) -> list[StudyWarning]:
    if phase == "expiration":
        evidence = "it is said to be at expiration"
    elif acquisition.phase_stated == "expiration":
        evidence = "its description names expiration"
    else:
        return []
    return [StudyWarning.of(Code.NOT_INSPIRATION, evidence=evidence)]


def _dose_warnings(acquisition: Acquisition, limits: Limits) -> list[StudyWarning]:
    warnings = []
    if acquisition.contrast_agent:
        warnings.append(StudyWarning.of(Code.CONTRAST_ENHANCED, evidence="the header names an agent"))
    mas, mgy = acquisition.exposure_mas, acquisition.ctdi_vol_mgy
    if mas is not None and 0 < mas < limits.low_dose_mas:
        warnings.append(StudyWarning.of(Code.LOW_DOSE, evidence=f"{mas:.3g} mAs"))
    elif mas is None and mgy is not None and 0 < mgy <= limits.low_dose_mgy:
        warnings.append(StudyWarning.of(Code.LOW_DOSE, evidence=f"CTDIvol {mgy:.1f} mGy"))
    if acquisition.kvp is not None and abs(acquisition.kvp - limits.kvp) > 0.5:
        warnings.append(StudyWarning.of(Code.KVP_NOT_120, kvp=acquisition.kvp, expected_kvp=limits.kvp))
    return warnings


def _posture_warnings(acquisition: Acquisition) -> list[StudyWarning]:
    position = (acquisition.patient_position or "").upper()
    if len(position) < 3 or position[2:] == SUPINE:
        return []
    return [StudyWarning.of(Code.NOT_SUPINE, position=position)]
