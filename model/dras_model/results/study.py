"""The result of one study, as it is stored, sent and published as JSON Schema.

The top-level keys are the contract: `scores`, `warnings`, `qc`, `timings`, `provenance`. A score
that cannot be given is there with `value: null` and a reason; nothing is absent, nothing is guessed.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dras_model.results.codes import CODES, Code, Kind, render

SCHEMA_VERSION: Literal["1.0"] = "1.0"
NOTICE = "Research use only. Not for diagnosis."


class Record(BaseModel):
    """Base of all parts of a result: immutable, closed to unknown keys, and every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(StrEnum):
    """The stages of a study, in the order in which they run."""

    READ = "read"
    LUNGS = "lungs"
    REGISTRATION = "registration"
    PATCHES = "patches"
    SCORES = "scores"
    ENCODE = "encode"
    OUTPUTS = "outputs"


class Region(StrEnum):
    """The part of the lungs a score speaks of. Thirds are of equal volume within each lung."""

    WHOLE = "whole"
    RIGHT = "right"
    LEFT = "left"
    APICAL = "apical"
    MIDDLE = "middle"
    BASAL = "basal"
    RIGHT_APICAL = "right_apical"
    RIGHT_MIDDLE = "right_middle"
    RIGHT_BASAL = "right_basal"
    LEFT_APICAL = "left_apical"
    LEFT_MIDDLE = "left_middle"
    LEFT_BASAL = "left_basal"


_THIRD = "third of the volume of each lung, counted along the patient's axis, a slice never split"
REGION_DEFINITIONS: Mapping[Region, str] = MappingProxyType(
    {
        region: {
            Region.WHOLE: "both lungs",
            Region.RIGHT: "the right lung",
            Region.LEFT: "the left lung",
        }.get(region, f"{region.value.replace('_', ' ')} {_THIRD}")
        for region in Region
    }
)


class StudyWarning(Record):
    """One thing that may be wrong with the result, with the numbers that say so."""

    code: Code
    severity: Literal["warning", "severe"] = "warning"
    message: str
    evidence: dict[str, str | int | float] = Field(default_factory=dict)

    @classmethod
    def of(cls, code: Code, *, severe: bool = False, **evidence: str | int | float) -> "StudyWarning":
        """Make the warning of `code`; its message is rendered from the evidence."""
        if CODES[code].kind is not Kind.WARNING:
            raise TypeError(f"{code} is no warning")
        return cls(
            code=code,
            severity="severe" if severe else "warning",
            message=render(code, evidence),
            evidence=evidence,
        )


class Score(Record):
    """One number with its definition, its region and what may be wrong with it."""

    code: str = Field(examples=["LAA-950insp"])
    value: float | None
    unit: str
    kind: Literal["measurement", "model_estimate"] = "measurement"
    threshold: float | None = Field(None, description="HU")
    comparator: Literal["<=", "<", ">=", ">"] | None = None
    region: Region
    n_voxels: int
    volume_ml: float
    phase: Literal["inspiration", "expiration", "unknown"] = "unknown"
    definition: str
    reference: str
    warnings: tuple[Code, ...] = ()
    reason: str | None = Field(None, description="why `value` is null")

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a score has a value, or a reason why it has none")
        return self


class Candidate(Record):
    """One series of the study and why it was taken or left."""

    series_instance_uid: str
    modality: str
    n_images: int
    chosen: bool
    reason: str


class Acquisition(Record):
    """How the chosen series was made; null where the header does not say."""

    manufacturer: str | None = None
    model: str | None = None
    kernel: str | None = None
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    contrast_agent: bool | None = None
    patient_position: str | None = None


class Geometry(Record):
    """The native grid. `affine_lps_mm` maps voxel (x, y, z) of `orientation` to LPS millimetres."""

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    orientation: str = Field(description="where x, y and z grow to, as in LAS")
    affine_lps_mm: tuple[tuple[float, float, float, float], ...]


class LungQuality(Record):
    """Numbers that say whether the lung mask can be trusted. Volumes in mL."""

    right_ml: float
    left_ml: float
    airway_ml: float
    mean_hu: float
    height_mm: float
    touches_top_percent: float = Field(description="lung in the top slice, of that in the widest")
    touches_bottom_percent: float = Field(description="lung in the bottom slice, of that in the widest")
    touches_side_percent: float = Field(description="slices whose lung reaches the side of the image")
    blood_hu: float | None = Field(None, description="median HU of enhanced blood, null where none is seen")


class RegistrationQuality(Record):
    """Numbers that say whether the alignment can be trusted."""

    dice_right: float
    dice_left: float
    determinant: float
    rotation_degrees: float
    coverage: float = Field(description="fraction of the atlas' lungs that falls inside the scan")
    matrix: tuple[tuple[float, float, float, float], ...] = Field(
        description="affine, atlas LPS mm to subject LPS mm"
    )


class PatchQuality(Record):
    """How many patches can be trusted."""

    n_patches: int
    n_valid: int
    n_outside: int
    n_little_lung: int = Field(description="inside the scan, and invalid for holding too little lung")


class Quality(Record):
    """All quality numbers of a study."""

    lungs: LungQuality
    registration: RegistrationQuality
    patches: PatchQuality


class WeightsProvenance(Record):
    """Which weights made the embeddings."""

    name: str
    training: str = Field(description="`untrained`, or what the weights were trained on")
    encoder_sha256: str
    atlas: str
    atlas_sha256: str


class Provenance(Record):
    """Enough to repeat the run; nothing of the patient."""

    dras_version: str
    libraries: dict[str, str]
    device: str
    input_sha256: str
    weights: WeightsProvenance
    parameters: dict[str, str | int | float]


class StudyResult(Record):
    """What `result.json` holds."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    notice: str = NOTICE
    status: Literal["succeeded", "succeeded_with_warnings", "partial"]
    series_instance_uid: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    geometry: Geometry
    scores: tuple[Score, ...]
    regions: dict[Region, str] = Field(
        default_factory=lambda: dict(REGION_DEFINITIONS), description="what each region is"
    )
    warnings: tuple[StudyWarning, ...]
    qc: Quality
    timings: dict[str, float] = Field(description="seconds a stage, `total`, and `peak_rss_mb`")
    provenance: Provenance

    def score(self, code: str, region: Region | str = Region.WHOLE) -> Score:
        """Return the one score of `code` in `region`; KeyError where there is none."""
        for score in self.scores:
            if score.code == code and score.region == region:
                return score
        raise KeyError(f"no score {code} in region {region}")


class Inspection(Record):
    """What would be used of a study and what would be warned, without computing anything."""

    series_instance_uid: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    geometry: Geometry
    warnings: tuple[StudyWarning, ...]
