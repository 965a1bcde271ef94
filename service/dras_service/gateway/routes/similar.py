"""`GET /v1/jobs/{id}/similar`: which other results of the tenant are alike."""

import json
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from dras_model.results.study import Region
from dras_service.api.problems import ProblemCode
from dras_service.api.similarity import MOST_NEIGHBOURS, SimilarList
from dras_service.gateway.auth.callers import Reader
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.problems import ProblemRaised, responses
from dras_service.gateway.views import similar_list
from dras_service.store.neighbours import Neighbours

_PROBLEMS = responses(
    ProblemCode.JOB_NOT_FOUND,
    ProblemCode.RESULT_NOT_READY,
    ProblemCode.STUDY_REJECTED,
    ProblemCode.JOB_FAILED,
    ProblemCode.JOB_CANCELLED,
    ProblemCode.NO_EMBEDDING,
    ProblemCode.INVALID_PARAMETER,
    ProblemCode.NOT_READY,
)


class SimilarQuery(BaseModel):
    """What is compared with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region = Field(Region.WHOLE, description="region of this job that is compared; lobes have none")
    any_region: bool = Field(False, description="compare with every region of the others, not the same alone")
    limit: int = Field(10, ge=1, le=MOST_NEIGHBOURS)


def similar_router(lookup: Lookup, neighbours: Neighbours) -> APIRouter:
    """Make the route over `lookup` and the embeddings."""
    router = APIRouter(prefix="/jobs", tags=["results"], responses=_PROBLEMS)

    @router.get(
        "/{job_id}/similar",
        summary="Find the studies that are most alike",
        description="By the cosine of mean embeddings, among the tenant's results of the same bundle.",
    )
    def list_similar(job_id: str, caller: Reader, query: Annotated[SimilarQuery, Query()]) -> SimilarList:
        document = lookup.document(job_id, tenant=caller.tenant)
        nearest = neighbours.nearest(
            job_id,
            tenant=caller.tenant,
            region=query.region.value,
            any_region=query.any_region,
            limit=query.limit,
        )
        if nearest is None:
            raise ProblemRaised(ProblemCode.NO_EMBEDDING)
        training = json.loads(document)["provenance"]["weights"]["training"]
        return similar_list(job_id, query.region, nearest, training=training)

    return router
