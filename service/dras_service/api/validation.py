"""What a study would come to, without computing it."""

from pydantic import BaseModel, ConfigDict, Field

from dras_model.results.study import Inspection


class Refusal(BaseModel):
    """Why a job for the study would be rejected."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="a stable code of the study's own", examples=["TOO_FEW_SLICES"])
    message: str = Field(description="the code's sentence; holds no patient data")


class Validation(BaseModel):
    """What the headers say: either how the study would be used, or why it would be refused.

    Pixels are not decoded, so that a job may still find what only they show.
    """

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "usable": False,
                    "n_files": 1,
                    "size_bytes": 1532,
                    "refusal": {
                        "code": "NOT_DICOM",
                        "message": "None of the 1 files is DICOM or NIfTI.",
                    },
                    "inspection": None,
                }
            ]
        },
    )

    usable: bool = Field(description="whether a job for the study would get beyond its headers")
    n_files: int = Field(description="that were uploaded, an archive being one")
    size_bytes: int
    refusal: Refusal | None = None
    inspection: Inspection | None = Field(
        None, description="which series would be used, why the others not, and every warning of the headers"
    )
