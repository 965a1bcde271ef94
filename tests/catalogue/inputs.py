"""What the rows of the input catalogue are made of: one phantom, written in many wrong ways."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage

from dras_model.imaging.phantom import Phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.study import Study, read_study
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

Make = Callable[[Phantom, Path], None]
Edit = Callable[[Dataset, int], None]


@dataclass(frozen=True)
class Row:
    """One input and what it is answered with; its id begins with that of the catalogue."""

    id: str
    make: Make
    code: Code


def refused(row: Row, phantom: Phantom, folder: Path) -> None:
    """Write the input, read it, and demand its code in one sentence without patient data."""
    row.make(phantom, folder)
    with pytest.raises(StudyRefused) as caught:
        read_study(folder)
    assert caught.value.code is row.code
    assert "\n" not in str(caught.value)
    assert "PHANTOM" not in str(caught.value)


def codes(study: Study) -> set[Code]:
    """Codes of the warnings that came with a study."""
    return {warning.code for warning in study.header.warnings}


def series(**options: object) -> Make:
    """A series written with options."""

    def make(phantom: Phantom, folder: Path) -> None:
        write_series(phantom.volume, folder, SeriesOptions(**options))  # type: ignore[arg-type]

    return make


def edited(edit: Edit, **options: object) -> Make:
    """A series whose datasets are edited one by one."""

    def make(phantom: Phantom, folder: Path) -> None:
        write_series(phantom.volume, folder, SeriesOptions(edit=edit, **options))  # type: ignore[arg-type]

    return make


def files(**contents: bytes) -> Make:
    """Files of these contents."""

    def make(phantom: Phantom, folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).write_bytes(content)

    return make


def kept(keep: Callable[[int], bool]) -> Make:
    """A series of which some slices stay."""

    def make(phantom: Phantom, folder: Path) -> None:
        for index, path in enumerate(write_series(phantom.volume, folder)):
            if not keep(index):
                path.unlink()

    return make


def setting(**values: object) -> Edit:
    """Set attributes in every slice."""

    def edit(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edit


def dropping(*keywords: str) -> Edit:
    """Delete attributes in every slice."""

    def edit(dataset: Dataset, index: int) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return edit


def in_one_slice(**values: object) -> Edit:
    """Set attributes in slice 20 alone."""

    def edit(dataset: Dataset, index: int) -> None:
        if index == 20:
            setting(**values)(dataset, index)

    return edit


def of_values(values: Callable[[np.ndarray], np.ndarray], **options: object) -> Make:
    """A series of other values than the phantom's HU."""

    def make(phantom: Phantom, folder: Path) -> None:
        hu = values(phantom.volume.hu).astype(np.float32)
        write_series(Volume(hu, phantom.volume.grid), folder, SeriesOptions(**options))  # type: ignore[arg-type]

    return make


def write_enhanced(
    volume: Volume,
    path: Path,
    *,
    declared: int | None = None,
    rescale_shared: bool = False,
    measures_per_frame: bool = False,
    order: np.ndarray | None = None,
) -> None:
    """Write a volume as one enhanced object: geometry and rescale in its functional groups.

    What is `shared` and what is told frame by frame may vary (PS3.3 C.7.6.16); `order` permutes the frames.
    """
    classic = path.parent / f"{path.stem} classic"
    slices = [pydicom.dcmread(file) for file in write_series(volume, classic)]
    for file in classic.iterdir():
        file.unlink()
    classic.rmdir()
    if order is not None:
        slices = [slices[index] for index in order]
    whole = slices[0].copy()
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    whole.NumberOfFrames = declared or len(slices)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_picked(slices[0], "ImageOrientationPatient")]
    if not measures_per_frame:
        shared.PixelMeasuresSequence = [_picked(slices[0], "PixelSpacing", "SliceThickness")]
    if rescale_shared:
        shared.PixelValueTransformationSequence = [_picked(slices[0], "RescaleSlope", "RescaleIntercept")]
    whole.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for item in slices:
        group = Dataset()
        group.PlanePositionSequence = [_picked(item, "ImagePositionPatient")]
        if measures_per_frame:
            group.PixelMeasuresSequence = [_picked(item, "PixelSpacing", "SliceThickness")]
        if not rescale_shared:
            group.PixelValueTransformationSequence = [_picked(item, "RescaleSlope", "RescaleIntercept")]
        groups.append(group)
    whole.PerFrameFunctionalGroupsSequence = groups
    whole.PixelData = b"".join(item.PixelData for item in slices)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del whole[keyword]
    whole.save_as(path, enforce_file_format=True)


def _picked(source: Dataset, *keywords: str) -> Dataset:
    picked = Dataset()
    for keyword in keywords:
        setattr(picked, keyword, source[keyword].value)
    return picked
