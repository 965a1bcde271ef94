"""One door for every kind of input: a path becomes a CT volume and what is known of it.

DICOM (folder, file, zip, tar) and single-file NIfTI look the same behind it. What is read is not trusted, so
that `loading` does it in a process of its own; here its answer becomes a study again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dras_model.imaging.reading.messages import Read
from dras_model.imaging.reading.parent import read_elsewhere
from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.volume import GeometryError, Grid, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import Acquisition, Candidate, StudyWarning


@dataclass(frozen=True, slots=True, eq=False)
class StudyHeader:
    """What the headers say: the series used, its grid, how it was acquired, and every flag.

    `source` is what objects made of the series take over, the patient's name among it; only where it was asked for.
    """

    series_uid: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    grid: Grid
    warnings: tuple[StudyWarning, ...]
    source: SourceSeries | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A study with its voxels on the native grid, and the digest of the files they came from."""

    header: StudyHeader
    volume: Volume
    input_sha256: str


def read_header(source: Path, *, series_uid: str | None = None, described: bool = False) -> StudyHeader:
    """Choose the series and check its geometry without decoding DICOM pixels; `described` adds its `source`.

    Raises StudyRefused with the code of whatever is wrong; SetupRefused where nothing can be read at all.
    """
    _require(source)
    return _header(read_elsewhere(source, series_uid=series_uid, voxels=False, described=described).header)


def read_study(
    source: Path,
    *,
    series_uid: str | None = None,
    described: bool = False,
    report: Callable[[float], None] = lambda _fraction: None,
) -> Study:
    """Read the chosen series into HU; `report` is told the fraction that is decoded, and that it lives.

    `described` adds the header's `source`.

    Raises StudyRefused with the code of whatever is wrong; SetupRefused where nothing can be read at all.
    """
    _require(source)
    found = read_elsewhere(source, series_uid=series_uid, voxels=True, described=described, report=report)
    if found.voxels is None or found.header.input_sha256 is None:
        raise StudyRefused(Code.READER_CRASHED, how="an answer without voxels")
    header = _header(found.header)
    return Study(header, Volume(found.voxels, header.grid), found.header.input_sha256)


def _require(source: Path) -> None:
    try:
        source.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise StudyRefused(Code.NOT_FOUND, path=str(source)) from error


def _header(told: Read) -> StudyHeader:
    """Make the header of what the reading process told; what does not fit together is its defect."""
    try:
        grid = Grid(told.shape, np.reshape(told.affine, (4, 4)))
        warnings = tuple(warning.warning() for warning in told.warnings)
    except (GeometryError, LookupError, TypeError, ValueError) as error:
        raise StudyRefused(Code.READER_CRASHED, how="an answer that does not fit together") from error
    return StudyHeader(told.series_uid, told.candidates, told.acquisition, grid, warnings, told.source)
