import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.inspecting import describe_grid
from dras_model.outputs.masks import (
    LabelFileError,
    low_attenuation,
    native_grid,
    on_native,
    read_labels,
    write_labels,
)
from unit.dras_model.outputs.invented import oblique_grid

FEET_FIRST = Grid((6, 8, 10), np.array([[0.0, 0, 0.7, -30], [0, 0.8, 0, 12], [-2.5, 0, 0, 90], [0, 0, 0, 1]]))
HEAD_FIRST = Grid((6, 8, 10), np.array([[0.0, 0, 0.7, -30], [0, 0.8, 0, 12], [2.5, 0, 0, 90], [0, 0, 0, 1]]))
GRIDS = {"head first": HEAD_FIRST, "feet first": FEET_FIRST, "oblique": oblique_grid()}
LANDMARKS = {1: (0, 0, 0), 2: (5, 1, 9), 3: (2, 7, 4)}  # label: voxel (z, y, x)


def _planted(grid: Grid) -> LabelMap:
    labels = np.zeros(grid.shape, np.uint8)
    for label, place in LANDMARKS.items():
        labels[place] = label
    return LabelMap(labels, grid)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_landmark_lies_where_two_other_readers_find_it(grid: Grid, tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.nii.gz", _planted(grid))
    seen, image = nib.load(tmp_path / "labels.nii.gz"), sitk.ReadImage(tmp_path / "labels.nii.gz")
    array, itk = np.asarray(seen.dataobj), sitk.GetArrayFromImage(image)
    for label, place in LANDMARKS.items():
        world = grid.affine @ [*place, 1.0]  # LPS
        np.testing.assert_allclose(
            (seen.affine @ [*np.argwhere(array == label)[0], 1.0])[:3], world[:3] * [-1, -1, 1], atol=1e-4
        )
        index = [int(n) for n in np.argwhere(itk == label)[0][::-1]]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), world[:3], atol=1e-4)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_labels_of_a_turned_scan_come_back_in_the_order_of_its_series(grid: Grid, tmp_path: Path) -> None:
    planted = _planted(grid)
    back = on_native(planted.oriented("LAS"), describe_grid(grid))
    np.testing.assert_array_equal(back.labels, planted.labels)
    np.testing.assert_array_equal(back.grid.affine, grid.affine)
    write_labels(tmp_path / "labels.nii.gz", back)
    again = read_labels(tmp_path / "labels.nii.gz", native_grid(describe_grid(grid)))
    np.testing.assert_array_equal(again.labels, planted.labels)


def test_low_attenuation_is_lung_at_or_below_950_hu_and_never_airway() -> None:
    grid = Grid((1, 2, 4), np.eye(4))
    hu = np.array([[[-950, -949.9, -1000, -1000], [-950.1, -1000, 0, -951]]], np.float32)
    lungs = np.array([[[1, 1, 3, 0], [2, 2, 2, 1]]], np.uint8)
    found = low_attenuation(Volume(hu, grid), LabelMap(lungs, grid))
    assert found.labels.tolist() == [[[2, 1, 0, 0], [2, 2, 1, 2]]]


def _file(tmp_path: Path, change: str) -> Path:
    path = tmp_path / "labels.nii.gz"
    write_labels(path, _planted(HEAD_FIRST))
    content = gzip.decompress(path.read_bytes())
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif change == "short":
        path.write_bytes(gzip.compress(content[:-1]))
    elif change == "long":
        path.write_bytes(gzip.compress(content + bytes(10**6)))
    elif change == "empty":
        path.write_bytes(b"")
    elif change == "other type":
        nib.save(nib.Nifti1Image(np.zeros((10, 8, 6), np.int16), np.eye(4)), path)
    elif change == "noise":
        path.write_bytes(gzip.compress(bytes(range(256)) * 40))
    elif change == "no header":
        path.write_bytes(gzip.compress(bytes(352) + content[352:]))
    elif change == "no place":  # the sform's first row is zero
        path.write_bytes(gzip.compress(content[:280] + bytes(16) + content[296:]))
    return path


@pytest.mark.parametrize(
    "change", ["cut", "short", "long", "empty", "other type", "noise", "no header", "no place"]
)
def test_a_damaged_label_map_is_told_and_never_taken(change: str, tmp_path: Path) -> None:
    with pytest.raises(LabelFileError):
        read_labels(_file(tmp_path, change), HEAD_FIRST)


def test_labels_that_lie_elsewhere_than_the_result_says_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="elsewhere"):
        read_labels(_file(tmp_path, "none"), FEET_FIRST)
    with pytest.raises(LabelFileError, match="voxels"):
        read_labels(_file(tmp_path, "none"), Grid((5, 8, 10), HEAD_FIRST.affine))
