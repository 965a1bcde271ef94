"""Which results of a tenant are alike: the neighbours of one of them by its embedding."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from dras_model.results.notebook import table_html
from dras_model.results.study import Region

MOST_NEIGHBOURS = 100
_JOB = "5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11"
_OTHER = "0f0f6a1e-6a0d-4c0b-8a55-0a7f4f0f2a11"


class NeighbourView(BaseModel):
    """One region of another study, and how alike it is."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    region: Region
    similarity: float = Field(ge=-1.0, le=1.0, description="cosine of the two mean embeddings")
    n_patches: int = Field(description="valid patches that the mean was taken of")
    created_at: datetime = Field(description="when the job was")


class SimilarList(BaseModel):
    """The nearest first. Only results of the same bundle are compared; a study is there once, its own never."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "job_id": _JOB,
                    "region": "right_apical",
                    "n_patches": 91,
                    "bundle_sha256": "9f" * 32,
                    "training": "drasclr-copdgene",
                    "n_compared": 812,
                    "is_complete": True,
                    "neighbours": [
                        {
                            "job_id": _OTHER,
                            "region": "right_apical",
                            "similarity": 0.931,
                            "n_patches": 88,
                            "created_at": "2026-01-31T12:00:00Z",
                        }
                    ],
                }
            ]
        },
    )

    job_id: str
    region: Region
    n_patches: int
    bundle_sha256: str = Field(description="of the bundle, within which alone embeddings are comparable")
    training: str = Field(description="of its weights; what `untrained` weights call alike means nothing")
    n_compared: int = Field(description="embeddings that were looked at")
    is_complete: bool = Field(description="false where the tenant has more, of which the newest were taken")
    neighbours: tuple[NeighbourView, ...]

    def _repr_html_(self) -> str:
        rows = [(near.similarity, near.job_id, near.region, near.n_patches) for near in self.neighbours]
        return table_html(("similarity", "job", "region", "patches"), rows)
