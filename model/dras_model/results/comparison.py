"""What has changed between stored results of one person, as `comparison.json` holds it, and whether to believe it.

A difference is a number with what speaks against reading it as change; what it means is not said.
"""

from typing import Literal

from pydantic import Field

from dras_model.results.codes import Code
from dras_model.results.study import NOTICE, Acquisition, Record, Region, StudyWarning

COMPARISON_SCHEMA_VERSION: Literal["1.0"] = "1.0"


class Compared(Record):
    """One of the results, as far as it decides about comparing."""

    series_instance_uid: str
    input_sha256: str
    dras_version: str
    status: str
    acquisition: Acquisition
    thickness_mm: float
    volume_ml: float = Field(description="both lungs")
    encoder_sha256: str
    atlas_sha256: str
    training: str = Field(description="what the encoder was trained on, or `untrained`")
    warning_codes: tuple[Code, ...] = Field(description="of the result itself")


class Repeatability(Record):
    """How far apart values of one unchanged person were found to be."""

    limit: float
    source: str
    within: bool = Field(description="the difference is not larger than the limit")


class Difference(Record):
    """Follow-up less baseline of one score in one region of one image."""

    code: str
    unit: str
    region: Region
    image: Literal["raw", "harmonised"]
    baseline: float | None
    followup: float | None
    difference: float | None
    per_year: float | None = Field(description="null where the interval is not given")
    within_repeatability: bool | None = Field(
        description="not larger than the largest figure of `repeatability`; null where none is known"
    )
    repeatability: tuple[Repeatability, ...]
    warnings: tuple[Code, ...] = Field(description="what may have made the difference instead of change")
    reason: str | None = Field(None, description="why `difference` is null")


class EmbeddingDistances(Record):
    """Cosine distances between the embeddings of the same patch, over patches valid in both; 0 is equal."""

    n_patches: int
    median: float | None
    percentile_95: float | None
    most: float | None
    reason: str | None = Field(None, description="why there are none")


class FollowUp(Record):
    """One later result against the baseline."""

    result: Compared
    interval_years: float | None
    comparable: bool = Field(description="nothing severe speaks against reading differences as change")
    warnings: tuple[StudyWarning, ...]
    differences: tuple[Difference, ...]
    embeddings: EmbeddingDistances

    def difference(self, code: str, region: Region | str = Region.WHOLE, *, image: str = "raw") -> Difference:
        """Return the one difference of `code` in `region`; KeyError where there is none."""
        for found in self.differences:
            if (found.code, found.region, found.image) == (code, region, image):
                return found
        raise KeyError(f"no difference of {code} in region {region} of the {image} image")


class ComparisonResult(Record):
    """What `comparison.json` holds."""

    schema_version: Literal["1.0"] = COMPARISON_SCHEMA_VERSION
    kind: Literal["comparison"] = "comparison"
    notice: str = NOTICE
    dras_version: str
    baseline: Compared
    followups: tuple[FollowUp, ...]
