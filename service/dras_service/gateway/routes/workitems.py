"""`/dicom-web/workitems`: UPS-RS as far as `docs/dicom-conformance.md` says; not in the OpenAPI document."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import InvalidField, ProblemCode
from dras_service.gateway.auth.callers import Canceller, Reader, Submitter
from dras_service.gateway.dicomweb.datasets import JSON, as_json
from dras_service.gateway.dicomweb.workitems import InvalidWorkItem, StudyMissing, WorkItems
from dras_service.gateway.problems import InvalidParameters, ProblemRaised
from dras_service.gateway.routes.dicomweb import PREFIX, UID, Uid


def workitems_router(items: WorkItems) -> APIRouter:
    """Make the routes of UPS-RS: create, retrieve, change state, request cancellation (11.4 to 11.8)."""
    router = APIRouter(prefix=f"{PREFIX}/workitems", include_in_schema=False)

    @router.post("")
    async def create(
        request: Request,
        caller: Submitter,
        workitem: Annotated[str | None, Query(pattern=UID)] = None,
    ) -> Response:
        uid = workitem or f"2.25.{uuid.uuid4().int}"
        body = await request.body()
        try:
            made = await run_in_threadpool(items.create, uid, body, tenant=caller.tenant)
        except InvalidWorkItem as error:
            raise InvalidParameters(InvalidField(field="body", rule="workitem")) from error
        except StudyMissing as error:
            raise ProblemRaised(ProblemCode.NOT_FOUND) from error
        request.state.audited = made.id if made else None
        code = status.HTTP_201_CREATED if made else status.HTTP_409_CONFLICT
        return Response(status_code=code, headers={"Location": f"{PREFIX}/workitems/{uid}"})

    @router.get("/{uid}")
    def retrieve(uid: Uid, caller: Reader) -> Response:
        if (job := items.find(uid, tenant=caller.tenant)) is None:
            raise ProblemRaised(ProblemCode.NOT_FOUND)
        return Response(as_json([items.dataset(uid, job)]), media_type=JSON)

    @router.put("/{uid}/state")
    def change_state(uid: Uid, caller: Submitter) -> Response:
        """Refuse: the transaction of a work item is ours (PS3.4 CC.1.1), who alone performs."""
        if items.find(uid, tenant=caller.tenant) is None:
            raise ProblemRaised(ProblemCode.NOT_FOUND)
        warning = '299 dras: "The Transaction UID is missing or incorrect."'
        return Response(status_code=status.HTTP_409_CONFLICT, headers={"Warning": warning})

    @router.post("/{uid}/cancelrequest")
    def request_cancellation(request: Request, uid: Uid, caller: Canceller) -> Response:
        if (job := items.find(uid, tenant=caller.tenant)) is None:
            raise ProblemRaised(ProblemCode.NOT_FOUND)
        request.state.audited = job.id
        asked = items.cancel(uid, tenant=caller.tenant)
        return Response(status_code=status.HTTP_202_ACCEPTED if asked else status.HTTP_409_CONFLICT)

    return router
