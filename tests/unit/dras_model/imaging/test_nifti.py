import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.imaging.nifti import is_nifti, load_array, read_nifti, write_nifti
from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
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


def _header(
    path: Path, *, dims: tuple[int, ...] = (28, 24, 20), datatype: int = 4, offset: float = 352
) -> Path:
    """Write a NIfTI-1 of 1000 voxels of 16 bits whose header says something else."""
    content = bytearray(nib.Nifti1Image(np.zeros((10, 10, 10), np.int16), np.eye(4)).to_bytes())
    struct.pack_into("<8h", content, 40, len(dims), *dims, *[1] * (7 - len(dims)))
    struct.pack_into("<h", content, 70, datatype)
    struct.pack_into("<f", content, 108, offset)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize(
    ("dims", "code"),
    [
        ((30_000, 30_000, 30_000), Code.VOLUME_TOO_LARGE),
        ((1200, 1200, 1042), Code.VOLUME_TOO_LARGE),
        ((1200, 1200, 1040), Code.NIFTI_INVALID),  # allowed, but the file has no such length
        ((32_767,) * 7, Code.NIFTI_INVALID),
        ((20, 20), Code.NIFTI_INVALID),
        ((20, 20, 20, 2), Code.NIFTI_INVALID),
        ((-3, 20, 20), Code.NIFTI_INVALID),
        ((0, 20, 20), Code.NIFTI_INVALID),
        ((20, 20, 20, 0), Code.NIFTI_INVALID),
    ],
)
def test_sizes_are_judged_before_anything_is_allocated(
    tmp_path: Path, name: str, dims: tuple[int, ...], code: Code
) -> None:
    path = _header(tmp_path / name, dims=dims)
    tracemalloc.start()
    with pytest.raises(StudyRefused) as refused:
        load_array(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.code is code
    assert peak < 1 << 20


@pytest.mark.parametrize("offset", [1e30, float("inf"), float("nan"), -5e9, 0.0, 100.0, 3e8])
def test_voxels_cannot_begin_just_anywhere(tmp_path: Path, offset: float) -> None:
    with pytest.raises(StudyRefused) as refused:
        load_array(_header(tmp_path / "x.nii", dims=(10, 10, 10), offset=offset))
    assert refused.value.code is Code.NIFTI_INVALID


@pytest.mark.parametrize("datatype", [32, 128, 1792, 2304, 1536, 9999, 0])  # complex, RGB, longer, none
def test_only_real_numbers_are_voxels(tmp_path: Path, datatype: int) -> None:
    with pytest.raises(StudyRefused) as refused:
        load_array(_header(tmp_path / "x.nii", dims=(5, 5, 5), datatype=datatype))
    assert refused.value.code is Code.NIFTI_INVALID


def test_imaginary_parts_are_refused_and_not_discarded(tmp_path: Path) -> None:
    nib.Nifti1Image((_hu().T + 1j).astype(np.complex64), np.eye(4)).to_filename(tmp_path / "x.nii")
    with pytest.raises(StudyRefused, match="no real numbers"):
        read_nifti(tmp_path / "x.nii")


def test_what_follows_the_voxels_is_not_inflated(tmp_path: Path) -> None:
    content = nib.Nifti1Image(_hu().T.astype(np.int16), np.eye(4)).to_bytes()
    with gzip.open(tmp_path / "x.nii.gz", "wb", compresslevel=1) as file:
        file.write(content)
        for _ in range(100):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(StudyRefused, match="more data than its header says"):
        read_nifti(tmp_path / "x.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_a_wrong_checksum_of_gzip_is_noticed(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(nib.Nifti1Image(_hu().T.astype(np.int16), np.eye(4)).to_bytes()))
    content[-6] ^= 1
    (tmp_path / "x.nii.gz").write_bytes(content)
    with pytest.raises(StudyRefused, match="damaged"):
        read_nifti(tmp_path / "x.nii.gz")


def test_a_fourth_axis_of_one_element_is_dropped(tmp_path: Path) -> None:
    nib.Nifti1Image(_hu().T.astype(np.int16)[..., None], np.eye(4)).to_filename(tmp_path / "x.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "x.nii").hu, _hu())


def test_values_beyond_32_bits_raise_no_foreign_error(tmp_path: Path) -> None:
    nib.Nifti1Image(_hu().T.astype(np.float64) * 1e300, np.eye(4)).to_filename(tmp_path / "x.nii")
    with pytest.raises(StudyRefused):
        read_nifti(tmp_path / "x.nii")


@pytest.mark.parametrize("scale", [1e8, 1e150])
def test_a_voxel_of_kilometres_is_refused(tmp_path: Path, scale: float) -> None:
    nib.Nifti2Image(_hu().T.astype(np.int16), np.diag([scale, 1, 1, 1])).to_filename(tmp_path / "x.nii")
    with pytest.raises(StudyRefused) as refused:
        read_nifti(tmp_path / "x.nii")
    assert refused.value.code is Code.NIFTI_INVALID


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="damaged or no NIfTI"):
        read_nifti(tmp_path / "absent.nii")


def test_a_lack_of_memory_is_no_damaged_file(tmp_path: Path) -> None:
    def allocate(shape: tuple[int, int, int]) -> np.ndarray:
        raise MemoryError

    write_nifti(tmp_path / "x.nii.gz", np.zeros((6, 5, 4), np.float32), _grid())
    with pytest.raises(MemoryError):
        load_array(tmp_path / "x.nii.gz", allocate=allocate)
