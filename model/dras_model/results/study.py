"""The result of one study, as it is stored, sent and published as JSON Schema.

The top-level keys are the contract: `scores`, `warnings`, `qc`, `timings`, `provenance`. A score
that cannot be given is there with `value: null` and a reason; nothing is absent, nothing is guessed.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dras_model.results import notebook
from dras_model.results.codes import CODES, Code, Kind, render

# size: one document is one module, so that it is read in the order of its schema.
SCHEMA_VERSION = "1.1"  # a minor version adds fields and takes none away (decision 0028)
Option: TypeAlias = bool | int | float | str | None
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
    """The part of the lungs a score speaks of; `REGION_DEFINITIONS` says where each ends."""

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
    CORE = "core"
    PEEL = "peel"
    VENTRAL = "ventral"
    DORSAL = "dorsal"
    RIGHT_UPPER_LOBE = "right_upper_lobe"
    RIGHT_MIDDLE_LOBE = "right_middle_lobe"
    RIGHT_LOWER_LOBE = "right_lower_lobe"
    LEFT_UPPER_LOBE = "left_upper_lobe"
    LEFT_LOWER_LOBE = "left_lower_lobe"


_THIRD = "third of the volume of each lung, counted along the patient's axis, a slice never split"
_HALF = "half of the volume of each lung, counted along the patient's antero-posterior axis"
_DEPTH = "`peel_mm` (provenance, 10 mm by default) from the surface of its lung, the mediastinal one included"
_WHERE = {
    Region.WHOLE: "both lungs",
    Region.RIGHT: "the right lung",
    Region.LEFT: "the left lung",
    Region.CORE: f"lung at least {_DEPTH}",
    Region.PEEL: f"lung less than {_DEPTH}",
    Region.VENTRAL: f"front {_HALF}",
    Region.DORSAL: f"back {_HALF}",
}
LOBES = tuple(region for region in Region if region.value.endswith("_lobe"))
REGION_DEFINITIONS: Mapping[Region, str] = MappingProxyType(
    {
        region: f"{region.value.replace('_', ' ')} of the lobe mask given"
        if region in LOBES
        else _WHERE.get(region, f"{region.value.replace('_', ' ')} {_THIRD}")
        for region in Region
    }
)


class Coded(Record):
    """One concept of a coding scheme of DICOM (PS3.16 8)."""

    scheme: str
    value: str
    meaning: str


class RegionCode(Record):
    """A region as DICOM codes it: a site, and the side of it."""

    site: Coded
    laterality: Coded | None = None


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
    image: Literal["raw", "harmonised"] = Field("raw", description="which image was measured")
    n_voxels: int
    volume_ml: float
    phase: Literal["inspiration", "expiration", "paired", "unknown"] = "unknown"
    definition: str
    reference: str
    warnings: tuple[Code, ...] = ()
    details: dict[str, float] = Field(default_factory=dict, description="numbers that qualify `value`")
    reason: str | None = Field(None, description="why `value` is null")

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a score has a value, or a reason why it has none")
        return self

    def _repr_html_(self) -> str:
        return notebook.score_html(self)


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
    phase_stated: Literal["inspiration", "expiration"] | None = Field(
        None, description="the breath that a description names"
    )
    exposure_mas: float | None = Field(None, description="of one turn")
    ctdi_vol_mgy: float | None = None
    filter_type: str | None = None
    reconstruction: str | None = Field(None, description="ReconstructionAlgorithm of an enhanced object")
    iterative: bool | None = Field(None, description="iterative or learnt reconstruction")
    scanner_key: str | None = Field(None, description="digest that tells one scanner from another")
    lowest_hu: float | None = Field(None, description="lowest HU that the stored values can express")


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
    dense_percent: float = Field(0.0, description="of the mask, as dense as soft tissue")
    open_border_percent: float = Field(0.0, description="of what borders the mask, looks like aerated lung")
    rough_percent: float = Field(0.0, description="of the mask, in spikes, holes and leaks")
    blood_hu: float | None = Field(None, description="median HU of enhanced blood, null where none is seen")


class ImageQuality(Record):
    """Numbers of the image itself, in HU; null where what they are taken from is not seen."""

    air_hu: float | None = Field(description="median of tracheal air, 5 mm inside the airway's surface")
    noise_hu: float | None = Field(description="standard deviation there, from the upper half of the values")
    air_voxels: int = Field(description="voxels that both were taken from")
    lowest_hu: float = Field(description="lowest value of the lungs")
    at_lowest_percent: float = Field(description="lung voxels of exactly that value")


class HarmonisationQuality(Record):
    """What harmonisation found in the scan: its kernel, its noise in HU, what the lowest value cuts off."""

    tissue_patches: int = Field(
        description="pieces of even soft tissue that kernel and noise were taken from"
    )
    kernel_at_0_2: float = Field(description="contrast that the scan's kernel keeps at 0.2 lp/mm")
    kernel_at_0_4: float = Field(description="contrast that it keeps at 0.4 lp/mm")
    noise_tissue_hu: float = Field(description="standard deviation of the noise in soft tissue")
    noise_reference_hu: float | None = Field(
        None, description="noise that the lungs have at the reference kernel"
    )
    floor_percent: float = Field(
        description="lung voxels at the lowest stored value, 0 where it cuts nothing off"
    )


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
    image: ImageQuality | None = None
    harmonisation: HarmonisationQuality | None = None


class WeightsProvenance(Record):
    """Which weights made the embeddings."""

    name: str
    training: str = Field(description="`untrained`, or what the weights were trained on")
    encoder_sha256: str
    atlas: str
    atlas_sha256: str
    bundle_sha256: str | None = Field(None, description="of the bundle's manifest, which lists every file")
    signature: str | None = Field(None, description="`unsigned`, or who signed the bundle")


class Provenance(Record):
    """Enough to repeat the run; nothing of the patient."""

    dras_version: str
    libraries: dict[str, str]
    device: str
    input_sha256: str
    weights: WeightsProvenance
    parameters: dict[str, str | int | float]
    python: str | None = Field(None, description="version of the interpreter")
    platform: str | None = Field(None, description="operating system and processor")
    options: dict[str, Option] = Field(
        default_factory=dict, description="what was asked for; files as digests in `parameters`"
    )


class StudyResult(Record):
    """What `result.json` holds."""

    schema_version: str = Field(SCHEMA_VERSION, pattern=r"^1\.[0-9]+$")
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
    region_codes: dict[Region, RegionCode] = Field(
        default_factory=dict, description="regions in SNOMED CT, where DICOM has a code"
    )
    warnings: tuple[StudyWarning, ...]
    qc: Quality
    timings: dict[str, float] = Field(description="seconds a stage, `total`, and `peak_rss_mb`")
    provenance: Provenance

    def score(
        self, code: str, region: Region | str = Region.WHOLE, *, image: Literal["raw", "harmonised"] = "raw"
    ) -> Score:
        """Return the one score of `code` in `region` of `image`; KeyError where there is none."""
        for score in self.scores:
            if score.code == code and score.region == region and score.image == image:
                return score
        raise KeyError(f"no score {code} in region {region} of the {image} image")

    def _repr_html_(self) -> str:
        return notebook.result_html(self)


class Inspection(Record):
    """What would be used of a study and what would be warned, without computing anything."""

    series_instance_uid: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    geometry: Geometry
    warnings: tuple[StudyWarning, ...]
