"""A path becomes a CT volume and what is known of it, parsed and decoded in this very process.

DICOM (folder, file, zip, tar) and single-file NIfTI look the same behind it. Untrusted bytes are read where
they can do no harm: `study` has another process call this.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dras_model.imaging.averaging import read_averaged
from dras_model.imaging.describing import describe
from dras_model.imaging.dicom_file import EXECUTABLE_PREAMBLE
from dras_model.imaging.nifti import is_nifti, read_nifti
from dras_model.imaging.pixels import Allocate, Each, check_format, new_array, one_by_one, read_volume
from dras_model.imaging.series import ChosenSeries, choose_series
from dras_model.imaging.slices import Slice, is_dicom
from dras_model.imaging.source import open_source
from dras_model.imaging.study import Study, StudyHeader
from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import Acquisition, Candidate, StudyWarning


def load_header(
    source: Path, *, series_uid: str | None = None, scratch: Path | None = None, described: bool = False
) -> StudyHeader:
    """Choose the series and check its geometry without decoding DICOM pixels. Raises StudyRefused."""
    with _opened(source, series_uid, scratch) as found:
        if isinstance(found, Path):
            return _nifti_header(read_nifti(found).grid)
        check_format(found.stack)
        return _dicom_header(found, _files_digest(found) if described else None)


def load_study(
    source: Path,
    *,
    series_uid: str | None = None,
    scratch: Path | None = None,
    described: bool = False,
    allocate: Allocate = new_array,
    each: Each = one_by_one,
) -> Study:
    """Read the chosen series into HU, in memory from `allocate`, file by file as `each` has it.

    An archive is unpacked in `scratch`. Raises StudyRefused with the code of whatever is wrong.
    """
    with _opened(source, series_uid, scratch) as found:
        if isinstance(found, Path):
            volume = read_nifti(found, allocate=allocate)
            return Study(_nifti_header(volume.grid), volume, _digest([found]))
        read = read_averaged if found.stack.averaged else read_volume
        volume = read(found.stack, allocate=allocate, each=each)
        digest = _files_digest(found)
        return Study(_dicom_header(found, digest if described else None), volume, digest)


@contextmanager
def _opened(source: Path, series_uid: str | None, scratch: Path | None) -> Iterator[ChosenSeries | Path]:
    """Yield the chosen DICOM series, or the one NIfTI file where there is no DICOM."""
    with open_source(source, scratch=scratch) as files:
        images = [file for file in files if is_nifti(file)]
        if not images or any(is_dicom(file) for file in files):
            yield choose_series(files, series_uid=series_uid)
        elif series_uid is not None:
            raise StudyRefused(Code.SERIES_NOT_FOUND, n_series=0)
        elif len(images) == 1:
            yield images[0]
        else:
            raise StudyRefused(Code.NIFTI_INVALID, reason=f"{len(images)} images were given, name one")


def _dicom_header(series: ChosenSeries, described_sha256: str | None) -> StudyHeader:
    """Return the header; described where the digest of the files is given."""
    stack = series.stack
    warnings = list(series.warnings)
    if any(item.lossy for item in stack.slices):
        warnings.append(StudyWarning.of(Code.LOSSY))
    if any(item.rescale_assumed for item in stack.slices):
        warnings.append(StudyWarning.of(Code.RESCALE_ASSUMED))
    if "DERIVED" in stack.slices[0].image_type:
        warnings.append(StudyWarning.of(Code.DERIVED_IMAGE))
    warnings += _file_warnings(stack.slices)
    acquisition = stack.slices[len(stack.slices) // 2].acquisition
    source = None if described_sha256 is None else describe(series, input_sha256=described_sha256)
    return StudyHeader(series.uid, series.candidates, acquisition, stack.grid, tuple(warnings), source)


def _file_warnings(slices: Iterable[Slice]) -> list[StudyWarning]:
    """Say which files depart from PS3.10, and how."""
    oddities = {item.path: item.oddities for item in slices if item.oddities}
    hostile = sum(EXECUTABLE_PREAMBLE in found for found in oddities.values())
    departures = set().union(*oddities.values()) - {EXECUTABLE_PREAMBLE}
    warnings = []
    if hostile:
        warnings.append(StudyWarning.of(Code.EXECUTABLE_PREAMBLE, n_files=hostile))
    if departures:
        n_files = sum(bool(found - {EXECUTABLE_PREAMBLE}) for found in oddities.values())
        named = ", ".join(sorted(departures))
        warnings.append(StudyWarning.of(Code.NONSTANDARD_FILE, n_files=n_files, departures=named))
    return warnings


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


def _files_digest(series: ChosenSeries) -> str:
    return _digest({item.path for item in series.stack.slices})


def _digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the sorted digests of the files: neither names nor order matter."""
    digests = sorted(_sha256(path) for path in paths)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:  # in pieces: one file may be larger than the memory of a reading process
        return hashlib.file_digest(file, "sha256").digest()
