"""Bodies known everywhere in the world are found where they are, whatever way the scanner stood."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.imaging.study import read_study
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.inspecting import describe_grid
from dras_model.outputs.masks import Masks, write_masks
from unit.dras_model.outputs.dicom.scenes import AIRWAY, LEFT, LOW, POSES, RIGHT, TILTED, Body

WITHIN_MM = 2.5  # half of a voxel's diagonal is 4 mm
INTERPOLATED = TILTED | {"a slice missing"}
EXPECTED = {("lungs", 1): RIGHT, ("lungs", 2): LEFT, ("lungs", 3): AIRWAY, ("laa_map", 2): LOW}


def _by_nibabel(path: Path, label: int) -> np.ndarray:
    image = nib.load(path)
    voxels = np.argwhere(np.asarray(image.dataobj) == label)
    return (image.affine[:3, :3] @ voxels.mean(axis=0) + image.affine[:3, 3]) * [-1, -1, 1]


def _by_itk(path: Path, label: int) -> np.ndarray:
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.ReadImage(path))
    return np.array(shape.GetCentroid(label))


def _lungs(volume: Volume, *, everywhere: bool) -> LabelMap:
    """Right, left and airway by the value that is nearest; or the right lung alone, wide around where it is."""
    if everywhere:
        values = np.array([30.0, RIGHT.hu, LEFT.hu, AIRWAY.hu, LOW.hu])
        nearest = np.abs(volume.hu[..., None] - values).argmin(axis=-1)
        return LabelMap(np.array([0, 1, 2, 3, 1], np.uint8)[nearest], volume.grid)
    wide = Body(RIGHT.centre_mm, (60.0, 80.0, 110.0), RIGHT.hu)
    world = volume.grid.to_world(np.stack(np.indices(volume.hu.shape), axis=-1))
    return LabelMap(wide.holds(world).astype(np.uint8), volume.grid)


@pytest.mark.parametrize("pose", POSES)
def test_two_readers_find_every_body_where_it_is_in_the_patient(pose: str, tmp_path: Path) -> None:
    POSES[pose](tmp_path / "in")
    study = read_study(tmp_path / "in")
    volume = study.volume.oriented("LAS")
    lungs = _lungs(volume, everywhere=pose not in INTERPOLATED)
    write_masks(tmp_path, Masks.of(volume, lungs, describe_grid(study.header.grid)))
    for (name, label), body in EXPECTED.items():
        if pose in INTERPOLATED and body is not LOW:
            continue  # interpolation and the fill of a sheared scan make values of other bodies
        path = tmp_path / f"{name}.nii.gz"
        for found in (_by_nibabel(path, label), _by_itk(path, label)):
            assert np.linalg.norm(found - _centre(body)) < WITHIN_MM, (name, label)


def _centre(body: Body) -> np.ndarray:
    return np.array(body.centre_mm)
