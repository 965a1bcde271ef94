"""The DICOM objects of a run as 3D Slicer loads them: by dcmqi, the readers of its Quantitative Reporting."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.outputs.dicom.codes import score_concept
from dras_model.outputs.dicom.parametric_map import write_parametric_map
from dras_model.outputs.dicom.segmentation import write_seg
from dras_model.outputs.dicom.wording import region_name
from dras_model.results.study import Region
from unit.dras_model.outputs.dicom.scenes import BODIES, centres_of, scene
from unit.dras_model.stored import complete_result

FROM_LUNGS = {"Right lung": 1, "Left lung": 2, "Trachea and main bronchi": 3}


def _read(program: str, *arguments: str | Path) -> None:
    """Run one of dcmqi's programs; what it warns of but one thing is a fault of ours."""
    found = shutil.which(program, path=sysconfig.get_path("scripts"))
    assert found is not None, "dcmqi is not installed"
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0, said
    told = [line for line in said if line.startswith(("W:", "E:", "F:", "ERROR", "WARNING"))]
    # dcmtk checks no letters of UTF-8, and says so of every file.
    assert [line for line in told if "VR checker does not support" not in line] == []


def test_slicer_sees_every_segment_on_the_voxels_of_the_masks_under_its_name(
    folder: Path, tmp_path: Path
) -> None:
    _read(
        "segimage2itkimage", "--inputDICOM", folder / "dras_seg.dcm", "--outputDirectory", tmp_path,
        "--prefix", "s", "--outputType", "nii",
    )  # fmt: skip
    told = json.loads((tmp_path / "s-meta.json").read_text())
    names = {
        entry["labelID"]: entry["SegmentLabel"] for group in told["segmentAttributes"] for entry in group
    }
    assert list(names.values()) == [*FROM_LUNGS, "Low attenuation, -950 HU"]
    maps = {name: sitk.ReadImage(folder / f"{name}.nii.gz") for name in ("lungs", "laa_map")}
    for number, name in names.items():
        segment = sitk.ReadImage(tmp_path / f"s-{number}.nii.gz")
        source, value = ("lungs", FROM_LUNGS[name]) if name in FROM_LUNGS else ("laa_map", 2)
        expected = maps[source] == value
        # It leaves out slices without a pixel, so both are laid onto one grid.
        laid = sitk.Resample(segment, expected, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
        voxels = sitk.GetArrayFromImage(laid) > 0
        np.testing.assert_array_equal(voxels, sitk.GetArrayFromImage(expected) > 0)
        assert np.count_nonzero(sitk.GetArrayFromImage(segment)) == np.count_nonzero(voxels)


def test_slicer_sees_the_value_of_every_valid_patch_at_its_place(folder: Path, tmp_path: Path) -> None:
    _read(
        "paramap2itkimage", "--inputDICOM", folder / "dras_map.dcm", "--outputDirectory", tmp_path,
        "--prefix", "m", "--outputType", "nii",
    )  # fmt: skip
    image = sitk.ReadImage(tmp_path / "m-pmap.nii.gz")
    values = sitk.GetArrayFromImage(image)
    arrays = np.load(folder / "features.npz")
    centres = arrays["corner_mm"] + 15.5 * np.array([1.0, -1.0, 1.0])  # the cubes grow to LAS
    valid = arrays["valid"] & np.isfinite(arrays["laa950"])
    found = [values[image.TransformPhysicalPointToIndex(place.tolist())[::-1]] for place in centres[valid]]
    np.testing.assert_array_equal(np.float32(found), arrays["laa950"][valid])


@pytest.mark.parametrize("pose", ["feet first", "oblique", "coronal"])
def test_slicer_sees_bodies_and_patches_where_they_are_whatever_way_the_scanner_stood(
    pose: str, tmp_path: Path
) -> None:
    made = scene(pose, tmp_path / "series", complete_result())
    write_seg(tmp_path / "seg.dcm", made.stored, made.source)
    write_parametric_map(tmp_path / "map.dcm", made.stored, made.source)
    for program, name in (("segimage2itkimage", "seg"), ("paramap2itkimage", "map")):
        _read(
            program, "--inputDICOM", tmp_path / f"{name}.dcm", "--outputDirectory", tmp_path, "--prefix", name,
            "--outputType", "nrrd",
        )  # fmt: skip
    for number, body in BODIES.items():
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(sitk.ReadImage(tmp_path / f"seg-{number}.nrrd") > 0)
        assert np.linalg.norm(np.array(shape.GetCentroid(1)) - body.centre_mm) < 2.5
    image = sitk.ReadImage(tmp_path / "map-pmap.nrrd")
    values, features = sitk.GetArrayFromImage(image), made.stored.features
    centres = centres_of(features, made.study.header.grid)[features.valid]
    found = [values[image.TransformPhysicalPointToIndex(place.tolist())[::-1]] for place in centres]
    np.testing.assert_array_equal(np.float32(found), features.densitometry["laa950"][features.valid])


def _measured(document: dict[str, Any]) -> dict[tuple[str, str, str, str], list[float]]:
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for group in document["Measurements"]:
        for item in group["measurementItems"]:
            derivation = item.get("derivationModifier", {}).get("CodeValue", "")
            unit, quantity = item["units"]["CodeValue"], item["quantity"]["CodeValue"]
            key = (group["TrackingIdentifier"], quantity, derivation, unit)
            found.setdefault(key, []).append(float(item["value"]))
    return found


def test_slicer_sees_every_score_of_the_report_in_its_unit_and_region(folder: Path, tmp_path: Path) -> None:
    _read("tid1500reader", "--inputDICOM", folder / "dras_sr.dcm", "--outputMetadata", tmp_path / "sr.json")
    found = _measured(json.loads((tmp_path / "sr.json").read_text()))
    n = 0
    for score in json.loads((folder / "result.json").read_text())["scores"]:
        if score["value"] is None:
            continue
        concept = score_concept(score["code"])
        derivation = concept.derivation.value if concept.derivation else ""
        values = [
            value
            for key, values in found.items()
            if key[:3] == (region_name(Region(score["region"])), concept.name.value, derivation)
            for value in values
        ]
        # It reads the decimal string, of 16 characters, and does not tell raw from harmonised.
        assert any(value == pytest.approx(score["value"], rel=1e-9, abs=1e-9) for value in values), score[
            "code"
        ]
        n += 1
    assert n > 250
