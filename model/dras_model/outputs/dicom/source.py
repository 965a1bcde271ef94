"""The CT series that the objects of a result belong to: found again, and proven to be the one that was measured.

Headers are read by `imaging` in its reading process, and pixels not at all. Every refusal here comes before
anything is written.
"""

from pathlib import Path

from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.study import StudyHeader, read_header
from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

_ABSENT = {
    Code.SERIES_NOT_FOUND: "other series lie there",
    Code.NOT_DICOM: "no DICOM image lies there",
    Code.NO_CT_SERIES: "no CT series lies there",
}


def source_of(stored: StoredResult, source: Path | None) -> SourceSeries:
    """Read the headers of the series that a result was made of; `source` is where the study lies.

    Raises StudyRefused: SOURCE_SERIES_MISSING, SOURCE_SERIES_DIFFERS, SOURCE_UNIDENTIFIED, and whatever the
    study is refused with (`imaging.study`).
    """
    uid = stored.result.series_instance_uid
    if not uid:
        raise _missing(source, "it was made of a NIfTI image, which belongs to no series")
    if source is None:
        raise _missing(source, "no study was named")
    try:
        header = read_header(source, series_uid=uid, described=True)
    except StudyRefused as refused:
        if (reason := _ABSENT.get(refused.code)) is None:
            raise
        raise _missing(source, reason) from refused
    return _same(stored, header, source)


def require_described(header: StudyHeader, source: Path) -> SourceSeries:
    """Return the series of a study that was read. Raises StudyRefused SOURCE_SERIES_MISSING for a NIfTI image."""
    if header.source is None:
        raise _missing(source, "a NIfTI image lies there, which belongs to no series")
    return header.source


def _same(stored: StoredResult, header: StudyHeader, source: Path) -> SourceSeries:
    found = require_described(header, source)
    if not header.grid.same_as(stored.grid):
        raise StudyRefused(Code.SOURCE_SERIES_DIFFERS, path=str(source), what="positions")
    if found.input_sha256 != stored.result.provenance.input_sha256:
        raise StudyRefused(Code.SOURCE_SERIES_DIFFERS, path=str(source), what="files")
    return found


def _missing(source: Path | None, reason: str) -> StudyRefused:
    place = "the place given" if source is None else str(source)
    return StudyRefused(Code.SOURCE_SERIES_MISSING, path=place, reason=reason)
