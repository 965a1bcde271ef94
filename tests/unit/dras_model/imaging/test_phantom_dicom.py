"""The series is read back by pydicom (pixels, tags) and by SimpleITK's GDCM (geometry), not by the product."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
)

from dras_model.imaging.phantom_dicom import SeriesOptions, series_datasets, write_series
from dras_model.imaging.volume import Grid, Volume

SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEG2000Lossless,
    JPEGLSLossless,
)


def noise(grid: Grid) -> Volume:
    rng = np.random.default_rng(0)
    return Volume(np.rint(rng.uniform(-1024, 3071, grid.shape)).astype(np.float32), grid)


@pytest.fixture
def volume() -> Volume:
    affine = np.array([[0, 0, 0.7123456789, -100], [0, 0.7, 0, -1 / 3], [1.25, 0, 0, -500], [0, 0, 0, 1]])
    return noise(Grid((5, 40, 50), affine))


def read(paths: list[Path]) -> np.ndarray:
    slices = [pydicom.dcmread(path) for path in paths]
    return np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices])


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.keyword)
def test_every_voxel_comes_back_from_every_transfer_syntax(
    volume: Volume, tmp_path: Path, syntax: str, signed: bool
) -> None:
    paths = write_series(volume, tmp_path, SeriesOptions(transfer_syntax=syntax, signed=signed))
    assert np.array_equal(read(paths), volume.hu)
    assert {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in paths} == {syntax}


@pytest.mark.parametrize("syntax", [JPEG2000, JPEGLSNearLossless], ids=lambda uid: uid.keyword)
def test_a_lossy_series_says_so_and_stays_close(volume: Volume, tmp_path: Path, syntax: str) -> None:
    paths = write_series(volume, tmp_path, SeriesOptions(transfer_syntax=syntax))
    assert pydicom.dcmread(paths[0]).LossyImageCompression == "01"
    difference = np.abs(read(paths) - volume.hu)
    assert 0 < difference.max() < 200


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.keyword)
def test_two_runs_write_the_same_bytes(volume: Volume, tmp_path: Path, syntax: str) -> None:
    options = SeriesOptions(transfer_syntax=syntax)
    runs = [write_series(volume, tmp_path / name, options) for name in ("one", "two")]
    for one, two in zip(*runs, strict=True):
        assert one.name == two.name
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    "columns",
    [
        {"x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1]},
        {"x": [1, 0, 0], "y": [0, 0, -1], "z": [0, 1, 0]},
        {"x": [0, 1, 0], "y": [0, 0, -1], "z": [-1, 0, 0]},
        {"x": [0.96, 0.28, 0], "y": [-0.28, 0.96, 0], "z": [0, 0, 1]},
    ],
    ids=["axial", "coronal", "sagittal", "oblique"],
)
def test_every_voxel_lies_where_another_reader_puts_it(
    columns: dict[str, list[float]], tmp_path: Path
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.stack([columns["z"], columns["y"], columns["x"]], axis=1) * [2.5, 0.8, 0.6]
    affine[:3, 3] = [-12.5, 33.25, 700.0]
    volume = noise(Grid((6, 20, 30), affine))
    write_series(volume, tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    for z, y, x in ((0, 0, 0), (5, 19, 29), (2, 7, 11)):
        at = volume.grid.to_world(np.array([z, y, x])).tolist()
        assert image[image.TransformPhysicalPointToIndex(at)] == volume.hu[z, y, x]
        index = image.TransformPhysicalPointToContinuousIndex(at)
        assert np.abs(np.array(index) - np.rint(index)).max() < 1e-3


def test_uids_belong_to_seed_and_series(volume: Volume) -> None:
    def uids(**changes: int) -> tuple[str, str, str]:
        first = next(series_datasets(volume, SeriesOptions(**changes)))  # type: ignore[arg-type]
        return first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID

    base, other_series, other_study = uids(), uids(series_number=2), uids(seed=1)
    assert base[0] == other_series[0]
    assert len({*base, *other_series, *other_study}) == 8
    slices = {dataset.SOPInstanceUID for dataset in series_datasets(volume)}
    assert len(slices) == volume.grid.shape[0]


def test_the_patient_is_invented(volume: Volume) -> None:
    dataset = next(series_datasets(volume, SeriesOptions(seed=12)))
    assert str(dataset.PatientName) == "PHANTOM^12"
    assert dataset.PatientIdentityRemoved == "YES"
    assert not dataset.PatientBirthDate


def test_options_reach_their_tags(volume: Volume) -> None:
    options = SeriesOptions(
        modality="MR",
        manufacturer="ACME",
        kernel="B70f",
        contrast_agent="IODINE",
        slice_thickness_mm=5.0,
        patient_position="FFS",
        image_type=("DERIVED", "SECONDARY", "MPR"),
    )
    dataset = next(series_datasets(volume, options))
    assert dataset.SOPClassUID == MRImageStorage
    assert (dataset.Modality, dataset.Manufacturer, dataset.ConvolutionKernel) == ("MR", "ACME", "B70f")
    assert (dataset.ContrastBolusAgent, dataset.SliceThickness) == ("IODINE", 5.0)
    assert dataset.PatientPosition == "FFS"
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "MPR"]


def test_absent_options_leave_no_tag(volume: Volume) -> None:
    dataset = next(series_datasets(volume, SeriesOptions(kernel=None, kvp=None)))
    assert not {"ConvolutionKernel", "KVP", "ContrastBolusAgent", "PixelPaddingValue"} & set(dataset.dir())


def test_slice_thickness_is_the_distance_unless_given(volume: Volume) -> None:
    assert next(series_datasets(volume)).SliceThickness == 1.25


@pytest.mark.parametrize(("padding", "signed"), [(-2000, True), (63536, False)])
def test_padding_fills_the_corners_only(volume: Volume, tmp_path: Path, padding: int, signed: bool) -> None:
    paths = write_series(volume, tmp_path, SeriesOptions(padding=padding, signed=signed))
    dataset = pydicom.dcmread(paths[0])
    stored = dataset.pixel_array
    assert dataset.PixelPaddingValue == padding
    assert stored[0, 0] == stored[-1, -1] == padding
    middle = stored[10:30, 12:38] - 1024.0
    assert np.array_equal(middle, volume.hu[0, 10:30, 12:38])


def test_slope_and_intercept_are_undone_by_the_reader(volume: Volume, tmp_path: Path) -> None:
    paths = write_series(volume, tmp_path, SeriesOptions(slope=0.5, intercept=-2000.0))
    assert np.array_equal(read(paths), volume.hu)


@pytest.mark.parametrize(
    ("order", "expected"),
    [("ascending", [1, 2, 3, 4, 5]), ("descending", [5, 4, 3, 2, 1]), ("missing", [None] * 5)],
)
def test_instance_numbers_follow_the_order_asked_for(
    volume: Volume, order: str, expected: list[int | None]
) -> None:
    options = SeriesOptions(instance_numbers=order)  # type: ignore[arg-type]
    assert [dataset.get("InstanceNumber") for dataset in series_datasets(volume, options)] == expected


def test_shuffled_instance_numbers_are_complete_and_out_of_order(volume: Volume) -> None:
    options = SeriesOptions(instance_numbers="shuffled")
    numbers = [dataset.InstanceNumber for dataset in series_datasets(volume, options)]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert numbers != sorted(numbers)


def test_an_edit_changes_the_file_of_its_slice_alone(volume: Volume, tmp_path: Path) -> None:
    def spoil(dataset: pydicom.Dataset, index: int) -> None:
        if index == 3:
            del dataset.ImagePositionPatient

    paths = write_series(volume, tmp_path, SeriesOptions(edit=spoil, file_name="slice-{index}"))
    assert [path.name for path in paths] == [f"slice-{index}" for index in range(5)]
    assert ["ImagePositionPatient" in pydicom.dcmread(path) for path in paths] == [
        True,
        True,
        True,
        False,
        True,
    ]
