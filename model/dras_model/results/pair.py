"""The result of a pair of scans, inspiration and expiration of one person, as `pair.json` holds it.

Scores of one breath are told apart by their `phase`; those of both have the phase `paired`.
"""

from enum import IntEnum
from typing import Literal

from pydantic import Field

from dras_model.results.study import (
    NOTICE,
    REGION_DEFINITIONS,
    Acquisition,
    Candidate,
    Geometry,
    LungQuality,
    Record,
    Region,
    Score,
    StudyWarning,
)

PAIR_SCHEMA_VERSION: Literal["1.0"] = "1.0"


class ResponseClass(IntEnum):
    """Values of the parametric response map's voxels."""

    OUTSIDE = 0
    NORMAL = 1
    SMALL_AIRWAYS = 2
    EMPHYSEMA = 3
    EMPTYING = 4
    UNCLASSIFIED = 5


class PairedScan(Record):
    """One of the two scans: which series, how it was made, its lungs, and what is to be said of it."""

    series_instance_uid: str
    input_sha256: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    geometry: Geometry
    lungs: LungQuality
    warnings: tuple[StudyWarning, ...]


class DeformationQuality(Record):
    """Numbers that say whether the expiration's points were found again in the inspiration; inside its lungs."""

    dice_right: float
    dice_left: float
    jacobian_least: float = Field(description="volume in inspiration over that in expiration, at one point")
    jacobian_mean: float
    jacobian_most: float
    folded_percent: float = Field(description="points at which the Jacobian is not positive")
    similarity: float = Field(
        description="correlation of log density after registration, 5 mm from the pleura"
    )
    shift_mean_mm: float
    shift_most_mm: float


class PairProvenance(Record):
    """Enough to repeat the run; nothing of the patient."""

    dras_version: str
    libraries: dict[str, str]
    parameters: dict[str, str | int | float]


class PairResult(Record):
    """What `pair.json` holds."""

    schema_version: Literal["1.0"] = PAIR_SCHEMA_VERSION
    kind: Literal["pair"] = "pair"
    notice: str = NOTICE
    status: Literal["succeeded", "succeeded_with_warnings", "partial"] = Field(
        description="`partial` where the deformation cannot be trusted, and what rests on it is null"
    )
    inspiration: PairedScan
    expiration: PairedScan
    scores: tuple[Score, ...]
    regions: dict[Region, str] = Field(default_factory=lambda: dict(REGION_DEFINITIONS))
    warnings: tuple[StudyWarning, ...] = Field(description="of the pair; those of each scan are with it")
    deformation: DeformationQuality
    timings: dict[str, float] = Field(description="seconds a stage, `total`, and `peak_rss_mb`")
    provenance: PairProvenance

    def score(self, code: str, region: Region | str = Region.WHOLE, *, phase: str | None = None) -> Score:
        """Return the one score of `code` in `region`, of any phase or of one; KeyError where there is none."""
        for score in self.scores:
            if score.code == code and score.region == region and phase in (None, score.phase):
                return score
        raise KeyError(f"no score {code} in region {region}")
