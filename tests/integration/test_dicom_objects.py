"""The DICOM objects of a real run, held against programs of others: a validator, dcmtk, highdicom, Orthanc.

A program that is not installed skips its tests by name; `make test` installs all of them where it may.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest

from dras_cli.main import main
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.study import read_study
from dras_model.imaging.volume import LabelMap
from dras_model.inspecting import describe_grid
from dras_model.outputs.dicom.codes import score_concept
from dras_model.outputs.dicom.forms import write_objects
from dras_model.outputs.dicom.objects import Identity
from dras_model.outputs.dicom.segmentation import write_seg
from dras_model.outputs.dicom.source import source_of
from dras_model.outputs.stored import Parts, StoredResult
from dras_model.results.study import Region
from pacs_servers import Orthanc, program, said
from unit.dras_model.outputs.dicom.scenes import patches_in, scene

MEASUREMENTS = ("dras_sr.dcm", "dras_seg.dcm", "dras_map.dcm")
FILES = (*MEASUREMENTS, "dras_report.dcm")
# What dciodvfy 1.00 (2022) warns of and is right as it is; `docs/dicom-conformance.md` says why.
ACCEPTED = (
    r"Unrecognized defined term <99DRAS> for value 1 of attribute <Coding Scheme Designator>",
    r"Unrecognized defined term <QUANTITY> for value 4 of attribute <(Frame|Image) Type>",
    r"Missing attribute or value that would be needed to build DICOMDIR - Study ID",
    r"Value dubious for this VR - \(0x0010,0x0010\) PN Patient's Name .* - Retired Person Name form",
)


@pytest.fixture(scope="module")
def stored(folder: Path) -> StoredResult:
    return StoredResult.read(folder)


def _validate(path: Path) -> None:
    """Demand no error of dciodvfy, and no warning but the accepted ones; it says both by its text alone."""
    done = subprocess.run(
        [program("dciodvfy"), path], capture_output=True, text=True, errors="replace", check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    told = [line for line in lines if line.startswith(("Error", "Warning", "Abort"))]
    unexpected = [line for line in told if not any(re.search(each, line) for each in ACCEPTED)]
    assert unexpected == []


@pytest.mark.parametrize("name", FILES)
def test_dciodvfy_finds_no_error(name: str, folder: Path) -> None:
    _validate(folder / name)


@pytest.mark.parametrize("pose", ["feet first", "oblique", "tilted back", "enhanced"])
def test_dciodvfy_finds_no_error_in_whatever_way_the_scanner_stood(
    pose: str, stored: StoredResult, tmp_path: Path
) -> None:
    made = scene(pose, tmp_path / "series", stored.result)
    (tmp_path / "out").mkdir()
    write_objects(made.stored, made.source, tmp_path / "out")
    for name in MEASUREMENTS:
        _validate(tmp_path / "out" / name)


def test_dcmtk_reads_the_report_and_shows_a_clinician_its_groups(folder: Path, stored: StoredResult) -> None:
    text = said(program("dsrdump"), "+Pl", folder / "dras_sr.dcm")
    lines = text.splitlines()
    assert not [line for line in lines if line.startswith(("E:", "F:"))]
    laa = stored.result.score("LAA-950insp").value
    assert laa is not None
    named = next(line for line in lines if "at or below -950 HU at inspiration" in line and "NUM" in line)
    assert float(named.split('="')[-1].split('"')[0]) == pytest.approx(laa, rel=1e-9)
    assert "Research use only. Not for diagnosis." in text
    for name in ("both lungs", "right apical third", "peel of both lungs"):
        assert any(f'"{name}"' in line for line in lines)


@pytest.mark.parametrize("name", FILES)
def test_dcmtk_parses_the_file(name: str, folder: Path) -> None:
    told = said(program("dcmdump"), "-q", "+P", "PatientID", "+P", "Modality", folder / name)
    assert "PHANTOM0" in told


def test_every_score_of_result_json_is_read_back_by_highdicom(
    folder: Path, stored: StoredResult, phantom_study: Path
) -> None:
    told = json.loads((folder / "result.json").read_text())
    identity = Identity(source_of(stored, phantom_study), stored.result)
    report = hd.sr.srread(folder / "dras_sr.dcm").content
    groups = {
        (group.tracking_uid, group.method.value): group
        for group in (
            *report.get_image_measurement_groups(),
            *report.get_volumetric_roi_measurement_groups(),
        )
    }
    measured = {
        (key, m.name, m.derivation): m.value
        for key, group in groups.items()
        for m in group.get_measurements()
    }
    n = 0
    for score in told["scores"]:
        key = (identity.tracking_uid(Region(score["region"])), f"image-{score['image']}")
        concept = score_concept(score["code"])
        found = measured.get((key, concept.name, concept.derivation))
        assert found == score["value"]
        n += score["value"] is not None
    assert n > 250


def test_the_segments_are_the_voxels_of_the_nifti_masks_at_the_same_places(folder: Path) -> None:
    """Read by pydicom and nibabel alone: LPS of the one is RAS of the other with two signs turned."""
    dataset = pydicom.dcmread(folder / "dras_seg.dcm")
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found: dict[str, set[tuple[int, ...]]] = {}
    for frame, group in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        row, column = np.nonzero(frame)
        world = first + row[:, None] * rows_mm * cosines[3:] + column[:, None] * columns_mm * cosines[:3]
        label = dataset.SegmentSequence[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        found.setdefault(label.SegmentLabel, set()).update(
            map(tuple, np.rint(world * 100).astype(int).tolist())
        )
    for name, value, label in (
        ("lungs.nii.gz", 1, "Right lung"),
        ("lungs.nii.gz", 2, "Left lung"),
        ("lungs.nii.gz", 3, "Trachea and main bronchi"),
        ("laa_map.nii.gz", 2, "Low attenuation, -950 HU"),
    ):
        image: Any = nib.load(folder / name)
        index = np.argwhere(np.asarray(image.dataobj) == value)
        world = (index @ image.affine[:3, :3].T + image.affine[:3, 3]) * (-1.0, -1.0, 1.0)
        assert found[label] == set(map(tuple, np.rint(world * 100).astype(int).tolist()))


def test_every_valid_patch_of_features_npz_is_read_back_from_the_map(folder: Path) -> None:
    arrays = np.load(folder / "features.npz")
    volume = hd.pm.ParametricMap.from_file(folder / "dras_map.dcm").get_volume()
    centres = arrays["corner_mm"] + 15.5 * np.array([1.0, -1.0, 1.0])  # the cubes grow to LAS
    valid = arrays["valid"] & np.isfinite(arrays["laa950"])
    index = np.rint(volume.map_reference_to_indices(centres[valid])).astype(int)
    np.testing.assert_array_equal(volume.array[tuple(index.T)], arrays["laa950"][valid])


def test_an_export_is_byte_for_byte_what_the_run_wrote(
    folder: Path, phantom_study: Path, tmp_path: Path
) -> None:
    assert (
        main(
            [
                "export",
                str(folder),
                "--to",
                "dicom",
                "--source",
                str(phantom_study),
                "-o",
                str(tmp_path / "x"),
            ]
        )
        == 0
    )
    for name in FILES:
        assert (tmp_path / "x" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("to", "status", "code"),
    [
        ("sr", 3, "SOURCE_SERIES_MISSING"),
        ("seg,map", 3, "SOURCE_SERIES_MISSING"),
        ("map", 3, "FEATURE_UNKNOWN"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_sentence_and_leaves_nothing(
    to: str, status: int, code: str, folder: Path, phantom_study: Path, tmp_path: Path, capsys
) -> None:
    source = phantom_study if code == "FEATURE_UNKNOWN" else folder
    arguments = ["export", str(folder), "--to", to, "--source", str(source), "--feature", "component-999"]
    assert main([*arguments, "-o", str(tmp_path / "x"), "--json"]) == status
    said = capsys.readouterr()
    error = json.loads(said.err)["error"]
    assert error["code"] == code
    assert "\n" not in error["message"]
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_another_schema_is_told_before_the_source_is_read(
    folder: Path, tmp_path: Path, capsys
) -> None:
    other = json.loads((folder / "result.json").read_text()) | {"schema_version": "2.0"}
    (tmp_path / "result.json").write_text(json.dumps(other))
    out = tmp_path / "x"
    assert main(["export", str(tmp_path), "--to", "sr", "--source", "nowhere", "-o", str(out)]) == 3
    assert "RESULT_VERSION" in capsys.readouterr().err
    assert not out.exists()


def test_a_nifti_image_is_refused_before_anything_is_computed_where_dicom_objects_are_asked_for(
    phantom: Phantom, tmp_path: Path, capsys
) -> None:
    write_nifti(tmp_path / "ct.nii.gz", phantom.volume.hu, phantom.volume.grid)
    assert main(["extract", str(tmp_path / "ct.nii.gz"), "--dicom", "-o", str(tmp_path / "x")]) == 3
    assert "SOURCE_SERIES_MISSING" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["sharp_kernel_ge_feet_first_2.5mm", "soft_kernel_philips_5mm"])
def test_on_real_scans_frames_mark_the_very_pixels_of_the_files_they_name(
    name: str, shared: Path, stored: StoredResult, tmp_path: Path
) -> None:
    """Air of any kind stands for the right lung; the oracle is each file's own pixels, rescaled."""
    place = shared / "ct" / name
    study = read_study(place, described=True)
    assert study.header.source is not None
    labels = LabelMap((study.volume.hu < -800.0).astype(np.uint8), study.volume.grid)
    none = LabelMap(np.zeros_like(labels.labels), labels.grid)
    told = stored.result.model_copy(update={"geometry": describe_grid(study.header.grid)})
    parts = Parts(labels, none, patches_in(labels.grid))
    write_seg(tmp_path / "seg.dcm", StoredResult(told, None, parts), study.header.source)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    frames = dataset.pixel_array
    named = [
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    n = 0
    for path in sorted(place.rglob("*")):
        if path.is_file() and (image := pydicom.dcmread(path, force=True)).get("SOPInstanceUID") in named:
            hu = image.pixel_array.astype(np.float32) * float(image.RescaleSlope) + float(
                image.RescaleIntercept
            )
            np.testing.assert_array_equal(frames[named.index(image.SOPInstanceUID)].astype(bool), hu < -800.0)
            n += 1
    assert n == len(frames) == len(study.header.source.images)


def test_orthanc_takes_the_objects_into_the_study_of_their_source_and_gives_them_back(
    orthanc: Orthanc, folder: Path, phantom_study: Path
) -> None:
    sources = sorted(phantom_study.iterdir())[:2]
    answers = [orthanc.ask("/instances", path.read_bytes()) for path in sources]
    for name in FILES:
        answer = orthanc.ask("/instances", (folder / name).read_bytes())
        assert answer["Status"] == "Success"
        assert orthanc.file(answer["ID"]) == (folder / name).read_bytes()
        answers.append(answer)
    assert len({answer["ParentStudy"] for answer in answers}) == 1
    assert len({answer["ParentPatient"] for answer in answers}) == 1
    found = orthanc.series(pydicom.dcmread(sources[0]).StudyInstanceUID)
    assert sorted(found) == ["CT", "DOC", "OT", "SEG", "SR"]


def test_orthanc_knows_an_object_that_is_sent_again(orthanc: Orthanc, folder: Path) -> None:
    orthanc.ask("/instances", (folder / "dras_sr.dcm").read_bytes())
    assert orthanc.ask("/instances", (folder / "dras_sr.dcm").read_bytes())["Status"] == "AlreadyStored"
