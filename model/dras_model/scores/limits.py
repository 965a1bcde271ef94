"""Every limit that a score or a warning rests on, so that a caller may set it and a result can tell it.

The evidence stands beside each number. `dras extract --limits FILE.toml` sets any of them by name; what was
used is in the result's provenance.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Record
from dras_model.results.written import Unreadable, read_toml


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the lower end comes first")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]


class Limits(Record):
    """Limits by name; all have the defaults that the documentation prints."""

    # Slices: 9.6 against 16.1 % of low attenuation between thin and thick ones. Above 5 mm the thin tail is
    # withheld, with room for rounded positions.
    thick_mm: float = Field(1.25, gt=0, description="THICK_SLICE above it")
    thick_severe_mm: float = Field(3.0, gt=0, description="THICK_SLICE is severe above it")
    thick_withheld_mm: float = Field(5.05, gt=0, description="scores of the thin tail are withheld above it")
    # Coverage
    touching_percent: float = Field(
        1.0, ge=0, description="INCOMPLETE_LUNG: lung at an end, of the widest section"
    )
    most_cut_percent: float = Field(25.0, ge=0, description="the same: severe above it, and thirds withheld")
    covered: float = Field(
        0.97, ge=0, le=1, description="PARTIAL_COVERAGE: share of the atlas' lungs in the scan"
    )
    # Breath: whole lungs at full inspiration have a mean near -850 HU and hold 4 to 8 L; 3 L is two standard
    # deviations below the mean of women in cohorts of smokers.
    inspired_hu: float = Field(-750.0, description="NOT_INSPIRATION: mean lung density above it")
    inspired_ml: float = Field(3000.0, description="NOT_INSPIRATION: complete lungs that hold less")
    typical_ml: Range = Field((2000.0, 9500.0), description="ATYPICAL: volume of complete lungs outside it")
    # Noise: healthy lung of -860 +- 25 HU shows 1 % at or below -950 HU by noise of 30 HU alone, 5 % by 49 HU.
    noise_hu: float = Field(30.0, ge=0, description="HIGH_NOISE: standard deviation of tracheal air above it")
    noise_severe_hu: float = Field(49.0, ge=0, description="HIGH_NOISE is severe above it")
    low_dose_mas: float = Field(50.0, ge=0, description="LOW_DOSE: exposure below it; screening has 20 to 40")
    low_dose_mgy: float = Field(3.0, ge=0, description="LOW_DOSE: CTDIvol at or below it, without exposure")
    # Calibration
    air_hu: Range = Field((-1030.0, -970.0), description="AIR_CALIBRATION: median of tracheal air outside it")
    least_air_voxels: int = Field(
        100, ge=1, description="tracheal voxels that air and noise need to be measured"
    )
    floor_percent: float = Field(0.1, ge=0, description="HU_FLOOR: lung voxels of exactly the lowest value")
    kvp: float = Field(120.0, description="KVP_NOT_120: any other tube voltage")
    # Quality of the segmentation and of the alignment
    right_share: Range = Field(
        (0.40, 0.65), description="SEGMENTATION_SUSPECT: right lung's share of the volume"
    )
    # Lung masks: phantoms with every finding and real scans stay below, damaged masks above.
    dense_percent: float = Field(
        12.0, ge=0, description="SEGMENTATION_SUSPECT: more of the mask is as dense as soft tissue"
    )
    open_border_percent: float = Field(
        4.0, ge=0, description="SEGMENTATION_SUSPECT: more of what borders the mask looks like lung"
    )
    rough_percent: float = Field(
        10.0, ge=0, description="SEGMENTATION_SUSPECT: more of it is spikes and holes"
    )
    least_airway_ml: float = Field(
        5.0, description="SEGMENTATION_SUSPECT: trachea and main bronchi hold less"
    )
    least_dice: float = Field(0.80, description="REGISTRATION_SUSPECT: Dice of a lung below it")
    most_rotation_degrees: float = Field(18.0, description="REGISTRATION_SUSPECT: rotation above it")
    volume_ratio: Range = Field((0.55, 1.7), description="REGISTRATION_SUSPECT: determinant outside it")
    # Where the scores were held against truth: phantoms, and the real scans of the tests.
    domain_pixel_mm: Range = Field((0.3, 2.0), description="OUT_OF_DOMAIN: size of a pixel")
    domain_slice_mm: Range = Field((0.3, 5.05), description="OUT_OF_DOMAIN: slice thickness or distance")
    domain_lung_hu: Range = Field((-930.0, -550.0), description="OUT_OF_DOMAIN: mean lung density")
    domain_lung_ml: Range = Field((1000.0, 10000.0), description="OUT_OF_DOMAIN: volume of both lungs")
    domain_noise_hu: Range = Field((0.0, 110.0), description="OUT_OF_DOMAIN: noise of tracheal air")
    # Regions and scores
    peel_mm: float = Field(10.0, gt=0, description="depth that parts core and peel")
    least_clusters: int = Field(50, ge=3, description="LAC-D is null below it")
    smallest_cluster_mm3: float = Field(8.0, ge=0, description="smallest cluster of LAC-D, 4 voxels at least")

    def parameters(self) -> dict[str, str | int | float]:
        """Return the limits as a provenance lists them: plain values by name."""
        told: dict[str, str | int | float] = {}
        for name, value in self.model_dump().items():
            told[f"limits.{name}"] = " to ".join(map(_told, value)) if isinstance(value, tuple) else value
        return told


def _told(value: float) -> str:
    """Write a number so that it reads back as the same one, in few digits where they do."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def read_limits(path: Path) -> Limits:
    """Read a TOML file of limits by name. Raises SetupRefused LIMITS_INVALID."""
    try:
        return read_toml(path, Limits)
    except Unreadable as fault:
        raise SetupRefused(Code.LIMITS_INVALID, name=str(path), reason=str(fault)) from fault
