import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.given_lungs import given_lungs
from dras_model.imaging.given_mask import load_label_map
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

AFFINE = np.array([[0, 0, 0.7, -50], [0, -0.8, 0, 30], [2.5, 0, 0, -300], [0, 0, 0, 1.0]])
GRID = Grid((6, 8, 10), AFFINE)
LABELS = np.random.default_rng(3).integers(0, 6, GRID.shape).astype(np.uint8)
Writer = Callable[[Path, np.ndarray, Grid], Path]


def _image(array: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    spacing = np.array(grid.spacing_mm)
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    image.SetDirection((grid.affine[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    return image


def _nifti(folder: Path, array: np.ndarray, grid: Grid) -> Path:
    write_nifti(folder / "mask.nii.gz", array, grid)
    return folder / "mask.nii.gz"


def _nrrd(folder: Path, array: np.ndarray, grid: Grid) -> Path:
    sitk.WriteImage(_image(array, grid), folder / "mask.nrrd", useCompression=True)
    return folder / "mask.nrrd"


def _mha(folder: Path, array: np.ndarray, grid: Grid) -> Path:
    sitk.WriteImage(_image(array, grid), folder / "mask.mha", useCompression=True)
    return folder / "mask.mha"


def _segmentation(folder: Path, array: np.ndarray, grid: Grid) -> Path:
    """A binary DICOM segmentation; frames without content are left out and the rest are out of order."""
    frames = [
        (z, n) for n in range(1, int(array.max()) + 1) for z in range(len(array)) if (array[z] == n).any()
    ]
    frames.reverse()
    _, y_mm, x_mm = grid.spacing_mm
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SegmentationStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.SegmentationType = "SEG", "BINARY"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = len(frames), array.shape[1], array.shape[2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [
        float(v) for a, mm in ((2, x_mm), (1, y_mm)) for v in grid.affine[:3, a] / mm
    ]
    measures.PixelSpacing = [y_mm, x_mm]
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    per_frame = []
    for z, number in frames:
        group, position, segment = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [float(v) for v in grid.to_world(np.array([z, 0, 0]))]
        segment.ReferencedSegmentNumber = number
        group.PlanePositionSequence, group.SegmentIdentificationSequence = [position], [segment]
        per_frame.append(group)
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    bits = np.stack([array[z] == n for z, n in frames]).ravel()
    packed = np.packbits(bits, bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.save_as(folder / "mask.dcm", enforce_file_format=True)
    return folder / "mask.dcm"


WRITERS = [_nifti, _nrrd, _mha, _segmentation]


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_every_label_at_its_place(write: Writer, tmp_path: Path) -> None:
    found = load_label_map(write(tmp_path, LABELS, GRID), GRID)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.grid is GRID


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_the_order_of_the_axes_in_the_file_changes_nothing(
    write: Writer, orientation: str, tmp_path: Path
) -> None:
    turned = LabelMap(LABELS, GRID).oriented(orientation)
    found = load_label_map(write(tmp_path, turned.labels, turned.grid), GRID)
    np.testing.assert_array_equal(found.labels, LABELS)


def _moved(by_mm: float) -> Grid:
    affine = AFFINE.copy()
    affine[0, 3] += by_mm
    return Grid(GRID.shape, affine)


@pytest.mark.parametrize("write", WRITERS)
def test_a_mask_half_a_voxel_beside_the_scan_is_refused_with_both_geometries(
    write: Writer, tmp_path: Path
) -> None:
    with pytest.raises(StudyRefused, match=r"0\.700") as refused:
        load_label_map(write(tmp_path, LABELS, _moved(0.35)), GRID)
    assert refused.value.code is Code.MASK_GEOMETRY
    assert "the scan" in str(refused.value)


def test_rounding_of_a_header_is_no_other_geometry(tmp_path: Path) -> None:
    assert load_label_map(_nrrd(tmp_path, LABELS, _moved(0.005)), GRID).labels.shape == GRID.shape


@pytest.mark.parametrize("write", [_nifti, _nrrd, _mha])
def test_a_mask_of_another_size_is_refused(write: Writer, tmp_path: Path) -> None:
    smaller = Grid((5, 8, 10), AFFINE)
    with pytest.raises(StudyRefused, match="10 x 8 x 5 voxels"):
        load_label_map(write(tmp_path, LABELS[:5], smaller), GRID)


def test_a_header_that_names_another_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(LABELS.tobytes())
    whole = _nrrd(tmp_path, LABELS, GRID).read_bytes().split(b"\n\n")[0].decode()
    lines = [line if not line.startswith("encoding") else "encoding: raw" for line in whole.splitlines()]
    (tmp_path / "outside.nrrd").write_text("\n".join([*lines, "data file: secret.raw"]) + "\n\n")
    header = "ObjectType = Image\nComment = LOCAL\nNDims = 3\nDimSize = 10 8 6\nOffset = 0 0 0\n"
    ending = "ElementType = MET_UCHAR\nElementDataFile = secret.raw\n"
    (tmp_path / "outside.mha").write_text(header + ending)
    for name in ("outside.nrrd", "outside.mha"):
        with pytest.raises(StudyRefused, match="another file"):
            load_label_map(tmp_path / name, GRID)


@pytest.mark.parametrize(
    ("values", "reason"),
    [(LABELS.astype(np.float32) + 0.5, "whole numbers"), (LABELS.astype(np.int16) * 100, "from 0 to 500")],
)
def test_what_holds_no_labels_is_refused(values: np.ndarray, reason: str, tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match=reason):
        load_label_map(_nifti(tmp_path, values, GRID), GRID)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = _nrrd(tmp_path, LABELS, GRID).read_bytes()
    (tmp_path / "cut.nrrd").write_bytes(whole[: len(whole) - 40])
    (tmp_path / "text.nrrd").write_text("hello")
    (tmp_path / "empty.nii.gz").write_bytes(gzip.compress(b""))
    for name in ("cut.nrrd", "text.nrrd", "empty.nii.gz"):
        with pytest.raises(StudyRefused) as refused:
            load_label_map(tmp_path / name, GRID)
        assert refused.value.code is Code.MASK_INVALID
    with pytest.raises(StudyRefused) as refused:
        load_label_map(tmp_path / "absent.nrrd", GRID)
    assert refused.value.code is Code.NOT_FOUND


def test_a_dicom_image_is_no_mask(tmp_path: Path) -> None:
    path = _segmentation(tmp_path, LABELS, GRID)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.save_as(path)
    with pytest.raises(StudyRefused, match="no segmentation"):
        load_label_map(path, GRID)


@pytest.fixture(scope="module")
def truth(phantom: Phantom) -> LabelMap:
    return phantom.truth.lungs.oriented("LAS")


@pytest.mark.parametrize(
    ("values", "pair"),
    [((0, 1, 2), None), ((0, 50, 100), None), ((0, 7, 9), (7, 9))],
    ids=["1 and 2", "50 and 100", "named"],
)
def test_labels_are_read_by_convention_or_by_name(
    values: tuple[int, ...], pair: tuple[int, int] | None, phantom: Phantom, truth: LabelMap, tmp_path: Path
) -> None:
    path = _nifti(tmp_path, np.array(values, np.uint8)[truth.labels], truth.grid)
    found = given_lungs(path, pair)(phantom.volume.oriented("LAS"))
    np.testing.assert_array_equal(found, truth.labels)


def test_one_label_is_cut_in_two(phantom: Phantom, truth: LabelMap, tmp_path: Path) -> None:
    path = _nifti(tmp_path, (truth.labels > 0).astype(np.uint8), truth.grid)
    found = given_lungs(path)(phantom.volume.oriented("LAS"))
    np.testing.assert_array_equal(found > 0, truth.labels > 0)
    assert np.mean(found[truth.labels > 0] == truth.labels[truth.labels > 0]) >= 0.999


@pytest.mark.parametrize(
    ("values", "reason"),
    [((0, 2, 1), "mirrored"), ((0, 0, 0), "empty"), ((0, 4, 6), "labels are 4, 6")],
    ids=["swapped", "empty", "unknown"],
)
def test_a_mask_whose_sides_are_not_clear_is_refused(
    values: tuple[int, ...], reason: str, phantom: Phantom, truth: LabelMap, tmp_path: Path
) -> None:
    path = _nifti(tmp_path, np.array(values, np.uint8)[truth.labels], truth.grid)
    with pytest.raises(StudyRefused, match=reason) as refused:
        given_lungs(path)(phantom.volume.oriented("LAS"))
    assert refused.value.code is Code.MASK_INVALID


def test_one_side_alone_stays_that_side(phantom: Phantom, truth: LabelMap, tmp_path: Path) -> None:
    path = _nifti(tmp_path, np.where(truth.labels == LEFT, 100, 0).astype(np.uint8), truth.grid)
    found = given_lungs(path)(phantom.volume.oriented("LAS"))
    assert not (found == RIGHT).any()
    np.testing.assert_array_equal(found == LEFT, truth.labels == LEFT)
