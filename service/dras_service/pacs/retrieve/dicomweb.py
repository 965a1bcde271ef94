"""An archive by DICOMweb: QIDO-RS to search (PS3.18 10.6), WADO-RS to fetch (10.4).

Searches are paged, whatever the archive's own limit is. A series is fetched in one request; where that breaks off,
and wherever some of it is there already, image by image. Answers are parsed as they come and never held whole.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dras_service.header import SOP_INSTANCE, NotDicom, is_uid, read_header
from dras_service.pacs.configuration import MEGABYTE, Peer
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.retrieve.files import Harvest
from dras_service.pacs.retrieve.query import Fetched, FoundStudy, StudyQuery
from dras_service.pacs.web import Web, check_status, read_bounded

_JSON = {"Accept": "application/dicom+json"}
_FILES = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_MOST_ANSWER_BYTES = 64 * MEGABYTE
_MOST_PAGES = 10_000
_TRIES = 3
_PAUSE_S = 1.0
_BLOCK = 1 << 18
_CT = "CT"


class WebArchive:
    """A peer with a DICOMweb service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._web = Web(peer)

    def close(self) -> None:
        """Close the connection."""
        self._web.close()

    def find_studies(self, query: StudyQuery) -> Iterator[FoundStudy]:
        """Yield the studies that match, each once, page by page as they are taken."""
        seen: set[str] = set()
        asked = _parameters(query) | {"includefield": "00080061,00081030,00201208"}
        for entry in self._search("/studies", asked):
            uid = _first(entry, "0020000D")
            found = _found(uid, entry)
            # Looked at here: Orthanc 1.10 answers later pages of a search by modality with nothing.
            wanted = query.modality is None or not found.modalities or query.modality in found.modalities
            if is_uid(uid) and uid not in seen and wanted:
                seen.add(uid)
                yield found

    def fetch_study(self, study_uid: str, folder: Path) -> Fetched:
        """Bring every CT image of a study into `folder`; what is there already is not fetched again."""
        harvest = Harvest(folder)
        for attempt in range(_TRIES):
            try:
                self._fetch(study_uid, harvest)
            except PeerFailed as error:
                if not error.may_pass or attempt == _TRIES - 1:
                    raise
                time.sleep(_PAUSE_S * 2**attempt)
            else:
                break
        return Fetched(harvest.n_files, harvest.n_new)

    def count_instances(self, study_uid: str) -> int | None:
        """Return how many CT images the study has."""
        return sum(len(images) for _, images in self._series(study_uid))

    def _fetch(self, study_uid: str, harvest: Harvest) -> None:
        for series_uid, images in self._series(study_uid):
            lacking = harvest.lacks(images)
            path = f"/studies/{study_uid}/series/{series_uid}"
            if len(lacking) == len(images) > 0:
                self._retrieve(path, harvest)
                lacking = harvest.lacks(images)
            for uid in lacking:
                self._retrieve(f"{path}/instances/{uid}", harvest)
            if left := harvest.lacks(images):
                raise PeerFailed(f"The archive did not send {len(left)} of its images.")

    def _series(self, study_uid: str) -> Iterator[tuple[str, list[str]]]:
        """Yield the CT series of a study with the UIDs of their images."""
        if not is_uid(study_uid):
            raise PeerFailed("This is no Study Instance UID.", may_pass=False)
        n_series = 0
        for entry in list(self._search(f"/studies/{study_uid}/series", {"Modality": _CT})):
            series_uid = _first(entry, "0020000E")
            if not is_uid(series_uid) or _first(entry, "00080060") not in ("", _CT):
                continue
            n_series += 1
            images = self._search(f"/studies/{study_uid}/series/{series_uid}/instances", {})
            yield series_uid, [uid for uid in (_first(image, "00080018") for image in images) if is_uid(uid)]
        if n_series == 0:
            raise PeerFailed("The archive has no CT series of this study.", may_pass=False)

    def _search(self, path: str, asked: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield entries of all pages; a page that brings nothing new is the last, as some ignore `offset`."""
        offset = 0
        before: list[dict[str, Any]] = []
        for _ in range(_MOST_PAGES):
            page = self._page(path, asked | {"limit": str(self._peer.page), "offset": str(offset)})
            if not page or page == before:
                return
            yield from page
            offset += len(page)
            before = page

    def _page(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        with self._web.answer("GET", path, query=asked, headers=_JSON) as answer:
            if answer.status_code == 204:  # nothing matches (PS3.18 10.6.3.1)
                return []
            check_status(answer)
            body = read_bounded(answer, most_bytes=_MOST_ANSWER_BYTES)
        try:
            found = json.loads(body) if body.strip() else []
        except ValueError as error:
            raise PeerFailed("The archive's answer is no JSON.", may_pass=False) from error
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def _retrieve(self, path: str, harvest: Harvest) -> None:
        with self._web.answer("GET", path, headers=_FILES) as answer:
            check_status(answer)
            kind, options = parse_options_header(answer.headers.get("content-type", ""))
            if kind != b"multipart/related" or not options.get(b"boundary"):
                raise PeerFailed("The archive sends images in another form than asked.", may_pass=False)
            parts = _Parts(options[b"boundary"], harvest)
            try:
                for block in answer.iter_bytes(_BLOCK):
                    parts.feed(block)
            finally:
                parts.close()


class _Parts:
    """Writes the parts of an answer to a harvest as they come."""

    def __init__(self, boundary: bytes, harvest: Harvest) -> None:
        self._harvest = harvest
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._parser = MultipartParser(
            boundary,
            {"on_part_begin": self._begin, "on_part_data": self._data, "on_part_end": self._end},
        )

    def feed(self, block: bytes) -> None:
        """Take the next block. Raises PeerFailed."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise PeerFailed("The archive's answer is not well formed.") from error

    def close(self) -> None:
        """Drop a part that did not end."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
            self._file = None

    def _begin(self) -> None:
        self._file, self._path = self._harvest.open_part()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])

    def _end(self) -> None:
        if self._file is None or self._path is None:
            return
        self._file.close()
        self._file = None
        try:
            uid = read_header(self._path)[SOP_INSTANCE]
        except NotDicom as error:
            self._path.unlink()
            raise PeerFailed("The archive sent something that is no DICOM file.") from error
        self._harvest.keep(self._path, uid)


def _parameters(query: StudyQuery) -> dict[str, str]:
    asked = {
        "StudyInstanceUID": query.study_uid,
        "PatientID": query.patient_id,
        "AccessionNumber": query.accession_number,
        "StudyDescription": query.description,
        "StudyDate": query.date_range(),
    }
    return {name: value for name, value in asked.items() if value}


def _found(uid: str, entry: dict[str, Any]) -> FoundStudy:
    count = _first(entry, "00201208")
    return FoundStudy(
        study_uid=uid,
        study_date=_first(entry, "00080020") or None,
        description=_first(entry, "00081030") or None,
        modalities=tuple(map(str, _values(entry, "00080061"))),
        n_instances=int(count) if count.isdecimal() else None,
    )


def _values(entry: dict[str, Any], tag: str) -> list[Any]:
    """Return the values of an attribute in DICOM JSON (PS3.18 F.2)."""
    element = entry.get(tag)
    values = element.get("Value", []) if isinstance(element, dict) else []
    return values if isinstance(values, list) else []


def _first(entry: dict[str, Any], tag: str) -> str:
    return str(next(iter(_values(entry, tag)), ""))
