"""What a client may say of a study when it sends it: how it is to be measured and queued."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

LEAST_PRIORITY, MOST_PRIORITY = -10, 10

SeriesUid: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9.]+$", max_length=64)]
AskedPhase: TypeAlias = Literal["inspiration", "expiration", "auto"]


class Wishes(BaseModel):
    """What a result depends on beside the study, its series and the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: AskedPhase = Field("auto", description="breath of the scan; auto takes it from the header")
    harmonise: bool = Field(
        True, description="also give the scores as a soft kernel without noise shows them"
    )
    reference_volume_ml: float | None = Field(
        None, gt=0, le=50_000, description="lung volume that the volume-adjusted Perc15 refers to"
    )
    dicom: bool = Field(
        False,
        description="also make DICOM objects of the result; kept with it, they repeat the patient of the scan",
    )


class JobOptions(Wishes):
    """The wishes that are kept with a job.

    Only what differs from the defaults is written down: the same wish is then the same job however it was said.
    """

    limits: dict[str, float | tuple[float, float]] = Field(
        default_factory=dict,
        description="limits of scores and warnings by name, those that are not the default",
    )

    def written(self) -> dict[str, Any]:
        """Return what is kept with the job."""
        return self.model_dump(mode="json", exclude_defaults=True)
