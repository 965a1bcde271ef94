from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.imaging.nifti import is_nifti, load_array, read_nifti, write_nifti
from dras_model.imaging.volume import Grid
from dras_model.results.errors import StudyRefused


def _grid() -> Grid:
    return Grid((6, 5, 4), np.array([[0, 0, 0.7, -50], [0, -0.8, 0, 30], [2.5, 0, 0, -300], [0, 0, 0, 1.0]]))


def _hu() -> np.ndarray:
    hu = np.full((20, 24, 28), 40.0, np.float32)
    hu[:, :8] = -1000.0
    return hu


def test_simpleitk_reads_the_place_of_every_voxel_as_we_wrote_it(tmp_path: Path) -> None:
    array = np.arange(120, dtype=np.float32).reshape(6, 5, 4)
    write_nifti(tmp_path / "x.nii.gz", array, _grid())
    image = sitk.ReadImage(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    for index in ((0, 0, 0), (5, 4, 3), (2, 1, 3)):
        theirs = image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
        np.testing.assert_allclose(theirs, _grid().to_world(np.array(index)), atol=1e-4)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    write_nifti(tmp_path / "x.nii.gz", array, _grid())
    back, grid = load_array(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(back, array)
    assert grid.same_as(_grid(), tolerance_mm=1e-4)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    array = np.ones((6, 5, 4), np.float32)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, array, _grid())
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_slope_in_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image((_hu().T * 2 + 2048).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    image.to_filename(tmp_path / "x.nii")
    raw = nib.load(tmp_path / "x.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "x.nii").hu, np.asarray(raw.dataobj).T)


def test_a_header_without_geometry_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_hu().T.astype(np.int16), None)
    image.to_filename(tmp_path / "x.nii")
    with pytest.raises(StudyRefused, match="no position and orientation"):
        read_nifti(tmp_path / "x.nii")


def test_a_sheared_affine_is_refused(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[1, 2] = 0.4
    nib.Nifti1Image(_hu().T.astype(np.int16), affine).to_filename(tmp_path / "x.nii")
    with pytest.raises(StudyRefused, match="orthogonal"):
        read_nifti(tmp_path / "x.nii")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x1f\x8b\x08\x00damaged"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.nii.gz").write_bytes(content)
    with pytest.raises(StudyRefused, match="damaged"):
        read_nifti(tmp_path / "x.nii.gz")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "x.nii.gz", _hu(), Grid(_hu().shape, np.eye(4)))
    content = (tmp_path / "x.nii.gz").read_bytes()
    (tmp_path / "x.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(StudyRefused, match="damaged"):
        read_nifti(tmp_path / "x.nii.gz")


def test_values_that_are_no_number_and_padding_become_air(tmp_path: Path) -> None:
    hu = _hu()
    hu[0, 0, 0], hu[0, 0, 1] = np.nan, -3024.0
    write_nifti(tmp_path / "x.nii.gz", hu, Grid(hu.shape, np.eye(4)))
    assert set(read_nifti(tmp_path / "x.nii.gz").hu[0, 0, :2]) == {-1024.0}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_file_without_its_name_is_known_by_its_header(kind, suffix: str, tmp_path: Path) -> None:
    kind(_hu().T.astype(np.int16), np.eye(4)).to_filename(tmp_path / f"x{suffix}")
    (tmp_path / f"x{suffix}").rename(tmp_path / "000001")
    assert is_nifti(tmp_path / "000001")
    np.testing.assert_array_equal(read_nifti(tmp_path / "000001").hu, _hu())


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08\x00damaged", bytes(400)])
def test_another_file_is_no_nifti(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "000001").write_bytes(content)
    assert not is_nifti(tmp_path / "000001")
