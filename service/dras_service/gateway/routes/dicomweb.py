"""`/dicom-web`: DICOMweb as PS3.18 has it, as far as `docs/dicom-conformance.md` says.

Not in the OpenAPI document: the standard is its description, and its media types are its own.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from dras_service.api.problems import ProblemCode
from dras_service.gateway.auth.callers import Reader, Submitter
from dras_service.gateway.dicomweb.datasets import JSON, XML, Dataset, as_json, as_xml
from dras_service.gateway.dicomweb.results import (
    Instance,
    Results,
    instance_entry,
    series_entry,
    study_entry,
)
from dras_service.gateway.dicomweb.searching import (
    Search,
    objects_found,
    search_of,
    series_found,
    studies_found,
)
from dras_service.gateway.dicomweb.storing import store_parts
from dras_service.gateway.problems import ProblemRaised
from dras_service.gateway.uploads import Intake
from dras_service.gathering.room import Room

PREFIX = "/dicom-web"
UID = r"^[0-9.]{1,64}$"
_DICOM = b"application/dicom"
_BLOCK = 1 << 18
MOST_FOUND = 100
_MOST_OFFSET = 1_000_000_000  # what every database takes for a number
_NO_CONTENT = 204

Uid = Annotated[str, Path(pattern=UID)]
Limit = Annotated[int, Query(ge=1, le=MOST_FOUND)]
Offset = Annotated[int, Query(ge=0, le=_MOST_OFFSET)]


def _search(request: Request) -> Search:
    return search_of(request.query_params)


Searched = Annotated[Search, Depends(_search)]


@dataclass(frozen=True, slots=True)
class DicomWeb:
    """What the routes work with. `room` is opened with the application."""

    intake: Intake
    results: Results
    room: Callable[[], Room]


def storing_router(parts: DicomWeb) -> APIRouter:
    """Make the routes of STOW-RS (10.5)."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.post("/studies")
    async def store(request: Request, caller: Submitter) -> Response:
        return await _store(parts, request, tenant=caller.tenant, study_uid=None)

    @router.post("/studies/{study}")
    async def store_in_study(request: Request, caller: Submitter, study: Uid) -> Response:
        return await _store(parts, request, tenant=caller.tenant, study_uid=study)

    return router


def results_of_router(parts: DicomWeb) -> APIRouter:
    """Make the routes of QIDO-RS (10.6) and WADO-RS (10.4) over the results."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)
    _add_searches(router, parts.results)
    _add_retrievals(router, parts.results)
    return router


def _add_searches(router: APIRouter, results: Results) -> None:
    @router.get("/studies")
    def find_studies(
        caller: Reader, search: Searched, limit: Limit = MOST_FOUND, offset: Offset = 0
    ) -> Response:
        found = studies_found(results, search, tenant=caller.tenant, limit=limit, offset=offset)
        return _listed(map(study_entry, found))

    @router.get("/series")
    def find_series(
        caller: Reader, search: Searched, limit: Limit = MOST_FOUND, offset: Offset = 0
    ) -> Response:
        found = series_found(results, search, tenant=caller.tenant)
        return _listed(map(series_entry, islice(found, offset, offset + limit)))

    @router.get("/studies/{study}/series")
    def find_series_of_study(
        caller: Reader, study: Uid, search: Searched, limit: Limit = MOST_FOUND, offset: Offset = 0
    ) -> Response:
        found = series_found(results, search, tenant=caller.tenant, within=study)
        return _listed(map(series_entry, islice(found, offset, offset + limit)))

    @router.get("/instances")
    def find_instances(
        caller: Reader, search: Searched, limit: Limit = MOST_FOUND, offset: Offset = 0
    ) -> Response:
        found = objects_found(results, search, tenant=caller.tenant)
        return _listed(map(instance_entry, islice(found, offset, offset + limit)))

    @router.get("/studies/{study}/instances")
    def find_instances_of_study(
        caller: Reader, study: Uid, search: Searched, limit: Limit = MOST_FOUND, offset: Offset = 0
    ) -> Response:
        found = objects_found(results, search, tenant=caller.tenant, within=study)
        return _listed(map(instance_entry, islice(found, offset, offset + limit)))

    @router.get("/studies/{study}/series/{series}/instances")
    def find_instances_of_series(
        caller: Reader,
        study: Uid,
        series: Uid,
        search: Searched,
        limit: Limit = MOST_FOUND,
        offset: Offset = 0,
    ) -> Response:
        found = objects_found(results, search, tenant=caller.tenant, within=study)
        of_series = (each for each in found if each.series_uid == series)
        return _listed(map(instance_entry, islice(of_series, offset, offset + limit)))


def _add_retrievals(router: APIRouter, results: Results) -> None:
    @router.get("/studies/{study}")
    def retrieve_study(request: Request, caller: Reader, study: Uid) -> Response:
        return _sent(request, results.instances(study, tenant=caller.tenant))

    @router.get("/studies/{study}/series/{series}")
    def retrieve_series(request: Request, caller: Reader, study: Uid, series: Uid) -> Response:
        return _sent(request, _of_series(results.instances(study, tenant=caller.tenant), series))

    @router.get("/studies/{study}/series/{series}/instances/{instance}")
    def retrieve_instance(
        request: Request, caller: Reader, study: Uid, series: Uid, instance: Uid
    ) -> Response:
        found = _of_series(results.instances(study, tenant=caller.tenant), series)
        return _sent(request, [each for each in found if each.instance_uid == instance])


def _of_series(found: list[Instance], series_uid: str) -> list[Instance]:
    return [each for each in found if each.series_uid == series_uid]


async def _store(parts: DicomWeb, request: Request, *, tenant: str, study_uid: str | None) -> Response:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/related" or options.get(b"type", _DICOM) != _DICOM:
        raise ProblemRaised(
            ProblemCode.UNSUPPORTED_MEDIA_TYPE, allowed='multipart/related; type="application/dicom"'
        )
    async with parts.intake.receive(request, tenant=tenant) as received:
        path = received.path

        def keep() -> Response:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            stored = store_parts(parts.room(), files, tenant=tenant, study_uid=study_uid)
            wants_xml = XML in request.headers.get("accept", "") and JSON not in request.headers["accept"]
            content = as_xml(stored.dataset()) if wants_xml else as_json([stored.dataset()], one=True)
            return Response(content, status_code=stored.status, media_type=XML if wants_xml else JSON)

        return await to_thread.run_sync(keep)


def _listed(entries: Iterable[Dataset]) -> Response:
    found = list(entries)
    if not found:
        return Response(status_code=_NO_CONTENT)
    return Response(as_json(found), media_type=JSON)


def _sent(request: Request, found: list[Instance]) -> Response:
    if not found:
        raise ProblemRaised(ProblemCode.NOT_FOUND)
    request.state.audited = found[0].job_id
    boundary = uuid.uuid4().hex
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return StreamingResponse(_multipart(found, boundary), media_type=kind)


async def _multipart(found: list[Instance], boundary: str) -> AsyncIterator[bytes]:
    for instance in found:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with instance.path.open("rb") as file:
            while block := await run_in_threadpool(file.read, _BLOCK):
                yield block
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
