"""One door for every kind of input: a path becomes a CT volume and what is known of it.

DICOM (folder, file, zip, tar) and single-file NIfTI look the same behind it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dras_model.imaging.nifti import is_nifti, read_nifti
from dras_model.imaging.pixels import check_format, read_volume
from dras_model.imaging.series import ChosenSeries, choose_series
from dras_model.imaging.slices import is_dicom
from dras_model.imaging.source import open_source
from dras_model.imaging.volume import Grid, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import Acquisition, Candidate, StudyWarning


@dataclass(frozen=True, slots=True, eq=False)
class StudyHeader:
    """What the headers say: the series used, its grid, how it was acquired, and every flag."""

    series_uid: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    grid: Grid
    warnings: tuple[StudyWarning, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A study with its voxels on the native grid, and the digest of the files they came from."""

    header: StudyHeader
    volume: Volume
    input_sha256: str


def read_header(source: Path, *, series_uid: str | None = None) -> StudyHeader:
    """Choose the series and check its geometry without decoding DICOM pixels. Raises StudyRefused."""
    with _opened(source, series_uid) as found:
        if isinstance(found, Path):
            return _nifti_header(read_nifti(found).grid)
        check_format(found.stack)
        return _dicom_header(found)


def read_study(source: Path, *, series_uid: str | None = None) -> Study:
    """Read the chosen series into HU. Raises StudyRefused with the code of whatever is wrong."""
    with _opened(source, series_uid) as found:
        if isinstance(found, Path):
            volume = read_nifti(found)
            return Study(_nifti_header(volume.grid), volume, _digest([found]))
        volume = read_volume(found.stack)
        paths = {item.path for item in found.stack.slices}
        return Study(_dicom_header(found), volume, _digest(paths))


@contextmanager
def _opened(source: Path, series_uid: str | None) -> Iterator[ChosenSeries | Path]:
    """Yield the chosen DICOM series, or the one NIfTI file where there is no DICOM."""
    with open_source(source) as files:
        images = [file for file in files if is_nifti(file)]
        if not images or any(is_dicom(file) for file in files):
            yield choose_series(files, series_uid=series_uid)
        elif series_uid is not None:
            raise StudyRefused(Code.SERIES_NOT_FOUND, n_series=0)
        elif len(images) == 1:
            yield images[0]
        else:
            raise StudyRefused(Code.NIFTI_INVALID, reason=f"{len(images)} images were given, name one")


def _dicom_header(series: ChosenSeries) -> StudyHeader:
    stack = series.stack
    warnings = list(series.warnings)
    if any(item.lossy for item in stack.slices):
        warnings.append(StudyWarning.of(Code.LOSSY))
    if "DERIVED" in stack.slices[0].image_type:
        warnings.append(StudyWarning.of(Code.DERIVED_IMAGE))
    acquisition = stack.slices[len(stack.slices) // 2].acquisition
    return StudyHeader(series.uid, series.candidates, acquisition, stack.grid, tuple(warnings))


def _nifti_header(grid: Grid) -> StudyHeader:
    candidate = Candidate(
        series_instance_uid="",
        modality="CT",
        n_images=grid.shape[0],
        chosen=True,
        reason="the NIfTI image given",
    )
    warnings = (StudyWarning.of(Code.ACQUISITION_UNKNOWN),)
    return StudyHeader("", (candidate,), Acquisition(), grid, warnings)


def _digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the sorted digests of the files: neither names nor order matter."""
    digests = sorted(hashlib.sha256(path.read_bytes()).digest() for path in paths)
    return hashlib.sha256(b"".join(digests)).hexdigest()
