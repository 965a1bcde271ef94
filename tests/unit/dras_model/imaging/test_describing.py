"""What derived objects take over, read from files; the oracle is pydicom on the same files."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from catalogue.inputs import dropping, setting, write_enhanced
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.study import read_header, read_study
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from unit.dras_model.outputs.dicom.scenes import hu_at, upright


@pytest.fixture(scope="module")
def small() -> Volume:
    grid = upright((24, 32, 40))
    return Volume(hu_at(grid.to_world(np.stack(np.indices(grid.shape), axis=-1))), grid)


def _described(folder: Path) -> SourceSeries:
    source = read_header(folder, described=True).source
    assert source is not None
    return source


def test_slices_are_named_in_the_order_of_the_grid_with_their_own_positions(
    small: Volume, tmp_path: Path
) -> None:
    write_series(small, tmp_path, SeriesOptions(instance_numbers="shuffled"))
    source = _described(tmp_path)
    files = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, tmp_path.iterdir())}
    heights = [image.position_mm[2] for image in source.images]
    assert heights == sorted(heights)
    assert {image.sop_instance_uid for image in source.images} == set(files)
    for image in source.images:
        assert image.position_mm == tuple(map(float, files[image.sop_instance_uid].ImagePositionPatient))
        assert image.frame is None
    first = next(iter(files.values()))
    assert source.study_instance_uid == first.StudyInstanceUID
    assert source.frame_of_reference_uid == first.FrameOfReferenceUID
    assert source.sop_class_uid == first.SOPClassUID
    assert (source.rows, source.columns) == (first.Rows, first.Columns)
    assert (*source.row, *source.column) == tuple(map(float, first.ImageOrientationPatient))
    assert source.spacing_mm == tuple(map(float, first.PixelSpacing))


def test_frames_of_an_enhanced_object_are_counted_from_one_in_the_order_of_the_grid(
    small: Volume, tmp_path: Path
) -> None:
    order = list(range(23, -1, -1))
    write_enhanced(small, tmp_path / "one.dcm", order=order)  # type: ignore[arg-type]
    source = _described(tmp_path)
    assert [image.frame for image in source.images] == list(range(24, 0, -1))
    assert len({image.sop_instance_uid for image in source.images}) == 1


def test_patient_and_study_are_taken_over_in_any_character_set(small: Volume, tmp_path: Path) -> None:
    def named(dataset: Dataset, _index: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = "Müller^Jörg=山田^太郎"
        dataset.StudyDescription = "Thorax, Größe"
        dataset.PatientBirthDate = "19450607"

    write_series(small, tmp_path, SeriesOptions(edit=named))
    found = _described(tmp_path).attributes
    assert found["PatientName"] == "Müller^Jörg=山田^太郎"
    assert found["StudyDescription"] == "Thorax, Größe"
    assert found["PatientBirthDate"] == "19450607"


def test_a_value_of_no_form_is_left_out_as_if_the_header_lacked_it(small: Volume, tmp_path: Path) -> None:
    def odd(dataset: Dataset, _index: int) -> None:
        for keyword, value in {
            "PatientBirthDate": "19450000",
            "StudyTime": "9:61",
            "PatientSex": "Z",
        }.items():
            element = pydicom.DataElement(
                pydicom.datadict.tag_for_keyword(keyword) or 0,
                pydicom.datadict.dictionary_VR(keyword),
                value,
                validation_mode=pydicom.config.IGNORE,
            )
            dataset[keyword] = element

    write_series(small, tmp_path, SeriesOptions(edit=odd))
    found = _described(tmp_path).attributes
    assert not {"PatientBirthDate", "StudyTime", "PatientSex"} & set(found)
    assert found["PatientName"] == "PHANTOM^0"


@pytest.mark.parametrize(
    ("keyword", "edit"),
    [
        ("FrameOfReferenceUID", dropping("FrameOfReferenceUID")),
        ("StudyInstanceUID", dropping("StudyInstanceUID")),
        ("FrameOfReferenceUID", setting(FrameOfReferenceUID="")),
    ],
)
def test_a_series_that_cannot_be_referred_to_is_refused_only_where_that_is_asked(
    keyword: str, edit, small: Volume, tmp_path: Path
) -> None:
    write_series(small, tmp_path, SeriesOptions(edit=edit))
    assert read_header(tmp_path).source is None
    with pytest.raises(StudyRefused, match=keyword) as refused:
        read_header(tmp_path, described=True)
    assert refused.value.code is Code.SOURCE_UNIDENTIFIED


def test_nothing_of_the_patient_is_read_unless_it_is_asked_for(small: Volume, tmp_path: Path) -> None:
    write_series(small, tmp_path)
    assert "PHANTOM0" not in repr(read_header(tmp_path))
    assert "PHANTOM0" not in repr(read_study(tmp_path).header)


def test_the_digest_is_that_of_the_run_with_and_without_voxels(small: Volume, tmp_path: Path) -> None:
    write_series(small, tmp_path)
    study = read_study(tmp_path, described=True)
    assert study.header.source is not None
    assert study.header.source.input_sha256 == study.input_sha256 == _described(tmp_path).input_sha256
