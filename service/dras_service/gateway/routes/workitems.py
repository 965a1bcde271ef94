"""`/dicom-web/workitems`: UPS-RS as far as `docs/dicom-conformance.md` says; not in the OpenAPI document."""

import uuid
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import InvalidField, ProblemCode
from dras_service.gateway.auth.callers import Canceller, Reader, Submitter
from dras_service.gateway.dicomweb.datasets import JSON, as_json
from dras_service.gateway.dicomweb.workitem_datasets import (
    Asked,
    InvalidWorkItem,
    asked_of_change,
    asked_of_new,
)
from dras_service.gateway.dicomweb.workitems import StudyMissing, WorkItems
from dras_service.gateway.problems import InvalidParameters, ProblemRaised
from dras_service.gateway.routes.dicomweb import MOST_FOUND, PREFIX, UID, Limit, Offset, Uid
from dras_service.store.rows import WorkItem

# As PS3.18 11.4.3 and 11.6.3 word them.
_CREATED_OTHERWISE = '299 dras: "The Workitem was created with modifications."'
_UPDATED_OTHERWISE = '299 dras: "The Workitem was updated with modifications."'
_NOT_THE_OWNER = '299 dras: "The Transaction UID is missing or incorrect."'


def workitems_router(items: WorkItems) -> APIRouter:
    """Make the routes of UPS-RS: create, retrieve, update, change state, cancel, search (11.4 to 11.9)."""
    router = APIRouter(prefix=f"{PREFIX}/workitems", include_in_schema=False)
    _add_questions(router, items)
    _add_changes(router, items)
    return router


def _add_questions(router: APIRouter, items: WorkItems) -> None:
    @router.get("")
    def search(request: Request, caller: Reader, limit: Limit = MOST_FOUND, offset: Offset = 0) -> Response:
        found = items.search(request.query_params, tenant=caller.tenant, limit=limit, offset=offset)
        if not found:
            return Response(status_code=status.HTTP_204_NO_CONTENT)
        return Response(as_json(found), media_type=JSON)

    @router.get("/{uid}")
    def retrieve(uid: Uid, caller: Reader) -> Response:
        return Response(as_json([items.dataset(_found(items, uid, caller.tenant))]), media_type=JSON)


def _add_changes(router: APIRouter, items: WorkItems) -> None:
    @router.post("")
    async def create(
        request: Request,
        caller: Submitter,
        workitem: Annotated[str | None, Query(pattern=UID)] = None,
    ) -> Response:
        uid = workitem or f"2.25.{uuid.uuid4().int}"
        asked = _asked(asked_of_new, await request.body())
        try:
            made = await run_in_threadpool(items.create, uid, asked, tenant=caller.tenant)
        except StudyMissing as error:
            raise ProblemRaised(ProblemCode.NOT_FOUND) from error
        request.state.audited = made.id if made else None
        code = status.HTTP_201_CREATED if made else status.HTTP_409_CONFLICT
        warning = {"Warning": _CREATED_OTHERWISE} if made and not asked.is_whole else {}
        return Response(status_code=code, headers={"Location": f"{PREFIX}/workitems/{uid}", **warning})

    @router.post("/{uid}")
    async def update(request: Request, uid: Uid, caller: Submitter) -> Response:
        """Change a work item that waits: of one under way the transaction is ours, of a final one nobody's."""
        asked = _asked(asked_of_change, await request.body())
        item = await run_in_threadpool(_found, items, uid, caller.tenant)
        request.state.audited = item.job.id
        if not await run_in_threadpool(items.update, uid, asked, tenant=caller.tenant):
            return Response(status_code=status.HTTP_409_CONFLICT, headers={"Warning": _NOT_THE_OWNER})
        return Response(headers={} if asked.is_whole else {"Warning": _UPDATED_OTHERWISE})

    @router.put("/{uid}/state")
    def change_state(uid: Uid, caller: Submitter) -> Response:
        """Refuse: the transaction of a work item is ours (PS3.4 CC.1.1), who alone performs."""
        _found(items, uid, caller.tenant)
        return Response(status_code=status.HTTP_409_CONFLICT, headers={"Warning": _NOT_THE_OWNER})

    @router.post("/{uid}/cancelrequest")
    def request_cancellation(request: Request, uid: Uid, caller: Canceller) -> Response:
        request.state.audited = _found(items, uid, caller.tenant).job.id
        asked = items.cancel(uid, tenant=caller.tenant)
        return Response(status_code=status.HTTP_202_ACCEPTED if asked else status.HTTP_409_CONFLICT)


def _asked(read: Callable[[bytes], Asked], body: bytes) -> Asked:
    try:
        return read(body)
    except InvalidWorkItem as error:
        raise InvalidParameters(InvalidField(field="body", rule="workitem")) from error


def _found(items: WorkItems, uid: str, tenant: str) -> WorkItem:
    if (item := items.find(uid, tenant=tenant)) is None:
        raise ProblemRaised(ProblemCode.NOT_FOUND)
    return item
