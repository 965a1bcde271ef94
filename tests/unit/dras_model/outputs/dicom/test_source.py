import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.volume import Volume
from dras_model.outputs.dicom.forms import export_dicom, export_seg, export_sr, write_objects
from dras_model.outputs.dicom.source import source_of
from dras_model.outputs.folder import new_folder
from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import StudyResult
from unit.dras_model.outputs.dicom.scenes import Scene, scene

SCENES: list[Scene] = []


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, result: StudyResult) -> Scene:
    if not SCENES:
        SCENES.append(scene("head first", tmp_path_factory.mktemp("scene") / "series", result))
    return SCENES[0]


def _of_other(made: Scene, **changes: object) -> StoredResult:
    return StoredResult(made.stored.result.model_copy(update=changes), None, made.stored.parts)


def _refused(stored: StoredResult, source: Path | None) -> StudyRefused:
    with pytest.raises(StudyRefused) as caught:
        source_of(stored, source)
    assert "\n" not in str(caught.value)
    assert "PHANTOM" not in str(caught.value)
    return caught.value


def test_the_series_is_found_again_as_it_was_described_in_the_run(made: Scene) -> None:
    assert source_of(made.stored, made.folder) == made.source


def test_it_is_found_among_other_series_and_in_an_archive(made: Scene, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "study" / "a")
    other = tmp_path / "study" / "b"
    shutil.copytree(made.folder, other)
    for path in other.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = "1.2.3.9"
        dataset.SOPInstanceUID = f"1.2.3.9.{dataset.InstanceNumber}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path)
    assert source_of(made.stored, tmp_path / "study") == made.source
    shutil.make_archive(str(tmp_path / "packed"), "zip", made.folder)
    assert source_of(made.stored, tmp_path / "packed.zip") == made.source


def test_another_series_no_image_and_no_source_are_told_as_missing(made: Scene, tmp_path: Path) -> None:
    other = _of_other(made, series_instance_uid="1.2.3.99")
    (tmp_path / "notes.txt").write_text("no image")
    nifti = _of_other(made, series_instance_uid="")
    for stored, source in (
        (other, made.folder),
        (made.stored, tmp_path),
        (made.stored, None),
        (nifti, made.folder),
    ):
        assert _refused(stored, source).code is Code.SOURCE_SERIES_MISSING


def test_a_place_that_is_none_is_not_found(made: Scene, tmp_path: Path) -> None:
    assert _refused(made.stored, tmp_path / "nowhere").code is Code.NOT_FOUND


def test_other_bytes_under_the_same_uids_are_refused(made: Scene, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "changed")
    path = sorted((tmp_path / "changed").iterdir())[7]
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array.copy()
    pixels[3, 3] += 1
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path)
    refused = _refused(made.stored, tmp_path / "changed")
    assert (refused.code, refused.fields["what"]) == (Code.SOURCE_SERIES_DIFFERS, "files")


def test_other_positions_are_refused(made: Scene, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "moved")
    for path in (tmp_path / "moved").iterdir():
        dataset = pydicom.dcmread(path)
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x + 1.0, y, z]
        dataset.save_as(path)
    refused = _refused(made.stored, tmp_path / "moved")
    assert (refused.code, refused.fields["what"]) == (Code.SOURCE_SERIES_DIFFERS, "positions")


def test_a_refused_export_leaves_nothing(made: Scene, tmp_path: Path) -> None:
    with pytest.raises(StudyRefused), new_folder(tmp_path / "out") as folder:
        export_dicom(made.stored, folder, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(
    made: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(SetupRefused) as refused, new_folder(tmp_path / "out") as folder:
        export_seg(made.stored, folder, made.folder)
    assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
    assert list(tmp_path.iterdir()) == []


def test_no_name_of_a_patient_reaches_a_log_or_a_warning(
    made: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """highdicom warns of names of a single component by quoting them; warnings are errors here."""
    names = {"PatientName": "CANARY", "ReferringPhysicianName": "CANARY", "PatientID": "CANARY"}
    source = made.source.model_copy(update={"attributes": {**made.source.attributes, **names}})
    write_objects(made.stored, source, tmp_path)
    said = capfd.readouterr()
    assert "CANARY" not in said.out + said.err + caplog.text
    for path in tmp_path.iterdir():
        assert pydicom.dcmread(path).PatientName == "CANARY"


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"PatientName": "", "StudyDate": "", "StudyTime": "", "SeriesTime": "", "PatientBirthDate": ""},
        {"PatientName": "山田^太郎=Yamada^Tarou", "PatientID": "é" * 64, "StudyDescription": "Größe"},
        {
            "PatientSex": "O",
            "PatientAge": "003W",
            "StudyTime": "10",
            "AcquisitionTime": "101112.5",
            "SeriesDate": "20240229",
        },
        {"PatientIdentityRemoved": "YES"},
    ],
)
def test_whatever_headers_say_objects_are_written_and_say_the_same(
    attributes: dict[str, str], made: Scene, tmp_path: Path
) -> None:
    source = made.source.model_copy(update={"attributes": attributes})
    write_objects(made.stored, source, tmp_path)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        for keyword, value in attributes.items():
            if keyword in {
                "PatientName",
                "PatientID",
                "StudyDescription",
                "PatientSex",
                "PatientAge",
                "StudyTime",
            }:
                assert str(dataset.get(keyword) or "") == value
        assert dataset.ContentDate == (attributes.get("SeriesDate") or "19000101")


def test_the_report_needs_no_label_map(made: Scene, tmp_path: Path) -> None:
    stored = StoredResult(made.stored.result, tmp_path)
    export_sr(stored, tmp_path, made.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["dras_sr.dcm"]


def test_a_nifti_image_in_the_place_of_the_study_is_told_as_missing(made: Scene, tmp_path: Path) -> None:
    volume: Volume = made.study.volume
    write_nifti(tmp_path / "ct.nii.gz", volume.hu.astype(np.float32), volume.grid)
    refused = _refused(made.stored, tmp_path / "ct.nii.gz")
    assert refused.code is Code.SOURCE_SERIES_MISSING
