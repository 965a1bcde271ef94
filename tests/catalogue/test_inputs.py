"""Odd and broken inputs, each with the answer it must get. The ids are those of the input catalogue."""

import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage

from dras_model.imaging.phantom import Phantom, head_ct, noise_ct, water_cylinder
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.study import read_header, read_study
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

Make = Callable[[Phantom, Path], None]


@dataclass(frozen=True)
class Row:
    """One input and what it is answered with."""

    id: str
    make: Make
    code: Code


def _edited(edit: Callable[[Dataset, int], None], **options: object) -> Make:
    def make(phantom: Phantom, folder: Path) -> None:
        write_series(phantom.volume, folder, SeriesOptions(edit=edit, **options))  # type: ignore[arg-type]

    return make


def _series(**options: object) -> Make:
    return _edited(lambda dataset, index: None, **options)


def _files(**contents: bytes) -> Make:
    def make(phantom: Phantom, folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).write_bytes(content)

    return make


def _kept(keep: Callable[[int], bool]) -> Make:
    def make(phantom: Phantom, folder: Path) -> None:
        for index, path in enumerate(write_series(phantom.volume, folder)):
            if not keep(index):
                path.unlink()

    return make


def _set(**values: object) -> Callable[[Dataset, int], None]:
    def edit(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edit


def _drop(keyword: str) -> Callable[[Dataset, int], None]:
    def edit(dataset: Dataset, index: int) -> None:
        delattr(dataset, keyword)

    return edit


def _truncated(phantom: Phantom, folder: Path) -> None:
    for path in write_series(phantom.volume, folder)[:5]:
        path.write_bytes(path.read_bytes()[:-5000])


def _garbled(syntax: str) -> Make:
    def make(phantom: Phantom, folder: Path) -> None:
        paths = write_series(phantom.volume, folder, SeriesOptions(transfer_syntax=syntax))
        dataset = pydicom.dcmread(paths[3])
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(range(256)) * 2])
        dataset.save_as(paths[3])

    return make


def _cut_header(phantom: Phantom, folder: Path) -> None:
    path = write_series(phantom.volume, folder)[5]
    path.write_bytes(path.read_bytes()[:600])


def _emptied(phantom: Phantom, folder: Path) -> None:
    write_series(phantom.volume, folder)[5].write_bytes(b"")


def _one_slice(**values: object) -> Callable[[Dataset, int], None]:
    def edit(dataset: Dataset, index: int) -> None:
        if index == 20:
            _set(**values)(dataset, index)

    return edit


def _moved_in_plane(dataset: Dataset, index: int) -> None:
    if 20 <= index < 60:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x + 60.0, y + 30.0, z]


def _two_patients(phantom: Phantom, folder: Path) -> None:
    write_series(phantom.volume, folder / "a")
    write_series(phantom.volume, folder / "b", SeriesOptions(seed=5, edit=_set(PatientID="ANOTHER")))


def _conflict(phantom: Phantom, folder: Path) -> None:
    path = write_series(phantom.volume, folder)[4]
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(folder / "again.dcm")


def _sheared_cosines(dataset: Dataset, index: int) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0.5, 0.8, 0]


def _halved_spacing(dataset: Dataset, index: int) -> None:
    if index % 2:
        dataset.PixelSpacing = [1.0, 1.0]


def _same_position(dataset: Dataset, index: int) -> None:
    dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], -(index // 2) * 5.0]


def _windowed(phantom: Phantom, folder: Path) -> None:
    hu = np.clip((phantom.volume.hu + 1350) / 1500 * 255, 0, 255).astype(np.float32)
    write_series(Volume(hu, phantom.volume.grid), folder)


ROWS = [
    Row("empty folder", _files(), Code.NOT_DICOM),
    Row("F1 text files", _files(a=b"hello", b=b"<html></html>"), Code.NOT_DICOM),
    Row("F4 truncated", _truncated, Code.TRUNCATED),
    Row("F7 8 bit", _edited(_set(BitsAllocated=8, BitsStored=8, HighBit=7)), Code.PIXEL_FORMAT),
    Row("F7 colour", _edited(_set(PhotometricInterpretation="RGB", SamplesPerPixel=3)), Code.PIXEL_FORMAT),
    Row("F11 garbled JPEG 2000", _garbled("1.2.840.10008.1.2.4.90"), Code.UNDECODABLE),
    Row("F14 slope 0", _edited(_set(RescaleSlope="0")), Code.RESCALE_INVALID),
    Row("F4 cut within the header", _cut_header, Code.MALFORMED),
    Row("F4 empty file among the slices", _emptied, Code.MALFORMED),
    Row("F7 high bit", _edited(_set(BitsStored=12, HighBit=15)), Code.PIXEL_FORMAT),
    Row("F7 bits stored 20", _edited(_set(BitsStored=20, HighBit=19)), Code.PIXEL_FORMAT),
    Row("F7 bits stored 8", _edited(_set(BitsStored=8, HighBit=7)), Code.PIXEL_FORMAT),
    Row("F6 two frames in a classic object", _edited(_set(NumberOfFrames="2")), Code.PIXEL_FORMAT),
    Row("F11 garbled RLE", _garbled("1.2.840.10008.1.2.5"), Code.UNDECODABLE),
    Row("F11 garbled JPEG-LS", _garbled("1.2.840.10008.1.2.4.80"), Code.UNDECODABLE),
    Row("F14 slope 1e300 in one slice", _edited(_one_slice(RescaleSlope="1e300")), Code.RESCALE_INVALID),
    Row(
        "F14 intercept 9e99 in one slice", _edited(_one_slice(RescaleIntercept="9e99")), Code.RESCALE_INVALID
    ),
    Row("F14 iodine map", _edited(_set(RescaleType="MGML")), Code.NOT_HU),
    Row("F15 one UID, two images", _conflict, Code.DUPLICATE_CONFLICT),
    Row("G1 MR alone", _series(modality="MR"), Code.NO_CT_SERIES),
    Row("G3 localizer alone", _series(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), Code.NO_CT_SERIES),
    Row("G4 three slices", _kept(lambda index: index < 3), Code.TOO_FEW_SLICES),
    Row("G5 many slices missing", _kept(lambda index: index % 5 != 2), Code.MISSING_SLICES),
    Row("G5 one wide gap", _kept(lambda index: not 40 <= index < 43), Code.MISSING_SLICES),
    Row("G6 duplicate positions", _edited(_same_position), Code.DUPLICATE_POSITIONS),
    Row("G8 some slices moved in their plane", _edited(_moved_in_plane), Code.INCONSISTENT_GEOMETRY),
    Row("G8 no position", _edited(_drop("ImagePositionPatient")), Code.GEOMETRY_MISSING),
    Row("G8 no spacing", _edited(_drop("PixelSpacing")), Code.GEOMETRY_MISSING),
    Row("G8 cosines not orthogonal", _edited(_sheared_cosines), Code.GEOMETRY_MISSING),
    Row("G13 spacing changes", _edited(_halved_spacing), Code.INCONSISTENT_GEOMETRY),
    Row("G14 rescale missing", _edited(_drop("RescaleIntercept")), Code.RESCALE_INVALID),
    Row("G17 inverted", _edited(_set(PhotometricInterpretation="MONOCHROME1")), Code.PIXEL_FORMAT),
    Row("G17 windowed", _windowed, Code.NOT_HU),
    Row("S1 two patients", _two_patients, Code.MIXED_PATIENT),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_bad_input_is_refused_with_its_code_and_one_sentence(
    row: Row, phantom: Phantom, tmp_path: Path
) -> None:
    row.make(phantom, tmp_path)
    with pytest.raises(StudyRefused) as refused:
        read_study(tmp_path)
    assert refused.value.code is row.code
    assert "\n" not in str(refused.value)
    assert "PHANTOM" not in str(refused.value)


@pytest.mark.parametrize("make", [head_ct, noise_ct, water_cylinder])
def test_a1_what_is_no_chest_never_gets_an_embedding(make, tmp_path: Path, atlas, encoder) -> None:
    from dras_model.pipeline import extract  # noqa: PLC0415 - the rest of this file needs no pipeline

    write_series(make(0), tmp_path / "in")
    with pytest.raises(StudyRefused) as refused:
        extract(tmp_path / "in", tmp_path / "out", atlas=atlas, encoder=encoder)
    assert refused.value.code in {Code.OUT_OF_SCOPE, Code.NOT_HU}
    assert {entry.name for entry in tmp_path.iterdir()} == {"in"}


def test_f15_the_same_file_twice_counts_once(phantom: Phantom, tmp_path: Path) -> None:
    paths = write_series(phantom.volume, tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[4].read_bytes())
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, phantom.volume.hu)
    assert Code.FILES_IGNORED in {warning.code for warning in study.header.warnings}


def test_g2_the_smooth_series_is_chosen_and_the_other_named_with_its_reason(
    phantom: Phantom, tmp_path: Path
) -> None:
    maker = "GE MEDICAL SYSTEMS"
    write_series(phantom.volume, tmp_path / "a", SeriesOptions(seed=1, manufacturer=maker, kernel="LUNG"))
    write_series(phantom.volume, tmp_path / "b", SeriesOptions(seed=1, series_number=2, manufacturer=maker))
    header = read_study(tmp_path).header
    assert header.acquisition.kernel == "STANDARD"
    assert [candidate.chosen for candidate in header.candidates] == [True, False]
    assert "ranked lower" in header.candidates[1].reason
    named = read_study(tmp_path, series_uid=header.candidates[1].series_instance_uid)
    assert named.header.acquisition.kernel == "LUNG"


def test_g2_a_series_that_is_not_there_is_refused(phantom_study: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_study(phantom_study, series_uid="1.2.3")
    assert refused.value.code is Code.SERIES_NOT_FOUND


def test_g3_a_localizer_within_the_series_is_dropped_and_counted(phantom: Phantom, tmp_path: Path) -> None:
    def localizer(dataset: Dataset, index: int) -> None:
        if index == 0:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(phantom.volume, tmp_path, SeriesOptions(edit=localizer))
    study = read_study(tmp_path)
    assert study.volume.grid.shape[0] == phantom.volume.grid.shape[0] - 1
    assert Code.FILES_IGNORED in {warning.code for warning in study.header.warnings}


def test_g5_one_missing_slice_is_bridged_at_its_true_place(phantom: Phantom, tmp_path: Path) -> None:
    write_series(phantom.volume, tmp_path)[40].unlink()
    study = read_study(tmp_path)
    assert study.volume.grid.same_as(phantom.volume.grid)
    warning = next(w for w in study.header.warnings if w.code is Code.INTERPOLATED_SLICES)
    assert warning.evidence["n_missing"] == 1
    halfway = (phantom.volume.hu[39] + phantom.volume.hu[41]) / 2.0
    np.testing.assert_allclose(study.volume.hu[40], halfway, atol=1e-3)
    np.testing.assert_array_equal(study.volume.hu[41:], phantom.volume.hu[41:])


def test_g9_a_tilted_gantry_is_sheared_to_the_true_geometry(phantom: Phantom, tmp_path: Path) -> None:
    degrees = 10.0
    tilt_mm = np.tan(np.radians(degrees)) * phantom.volume.grid.spacing_mm[0]
    pixel_mm = phantom.volume.grid.spacing_mm[1]
    steps = np.rint(np.arange(80) * tilt_mm / pixel_mm).astype(int)
    middle = steps[40]

    def tilted(dataset: Dataset, index: int) -> None:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y + float(steps[index] - middle) * pixel_mm, z]

    rolled = np.stack(
        [
            np.roll(plane, -(step - middle), axis=0)
            for plane, step in zip(phantom.volume.hu, steps, strict=True)
        ]
    )
    write_series(Volume(rolled, phantom.volume.grid), tmp_path, SeriesOptions(edit=tilted))
    study = read_study(tmp_path)
    warning = next(w for w in study.header.warnings if w.code is Code.TILT)
    assert warning.evidence["degrees"] == pytest.approx(degrees, abs=0.5)
    centre = (slice(None), slice(40, 90), slice(20, 110))
    placed = study.volume.grid.to_index(phantom.volume.grid.to_world(np.array([0.0, 0.0, 0.0])))
    shift = round(placed[1])
    found = np.roll(study.volume.hu, -shift, axis=1)[centre]
    np.testing.assert_allclose(found, phantom.volume.hu[centre], atol=1.0)


def test_g15_rescale_is_applied_slice_by_slice(phantom: Phantom, tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        stored = np.frombuffer(dataset.PixelData, np.uint16)
        dataset.PixelData = (stored + index).astype(np.uint16).tobytes()
        dataset.RescaleIntercept = str(-1024 - index)

    write_series(phantom.volume, tmp_path, SeriesOptions(edit=edit))
    np.testing.assert_array_equal(read_study(tmp_path).volume.hu, phantom.volume.hu)


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_g16_padding_becomes_air(padding: int, phantom: Phantom, tmp_path: Path) -> None:
    write_series(phantom.volume, tmp_path, SeriesOptions(signed=True, intercept=0.0, padding=padding))
    hu = read_study(tmp_path).volume.hu
    assert hu.min() == -1024.0
    inside = hu != -1024.0
    np.testing.assert_array_equal(hu[inside], phantom.volume.hu[inside])


def test_z6_a_truncated_zip_is_refused(phantom_study: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in phantom_study.iterdir():
            archive.write(file, file.name)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(StudyRefused) as refused:
        read_study(path)
    assert refused.value.code is Code.NOT_DICOM  # without its end record it is no zip


def _two_breaths(phantom: Phantom, folder: Path, *, shift_mm: float) -> None:
    def second(dataset: Dataset, index: int) -> None:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + shift_mm]
        dataset.AcquisitionNumber = "10"
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:50]}.9.{index}"

    first = SeriesOptions(edit=_set(AcquisitionNumber="9"))
    write_series(phantom.volume, folder / "a", first)
    air = Volume(np.maximum(phantom.volume.hu - 30.0, -1024.0), phantom.volume.grid)
    write_series(air, folder / "b", SeriesOptions(edit=second))


@pytest.mark.parametrize("shift_mm", [0.0, 1.875, 0.4])
def test_g6_two_breaths_in_one_series_are_never_interleaved(
    shift_mm: float, phantom: Phantom, tmp_path: Path
) -> None:
    _two_breaths(phantom, tmp_path, shift_mm=shift_mm)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, phantom.volume.hu)
    warning = next(w for w in study.header.warnings if w.code is Code.FILES_IGNORED)
    assert "80 of another acquisition" in warning.message


def test_g6_acquisitions_that_follow_each_other_stay_together(phantom: Phantom, tmp_path: Path) -> None:
    def step_and_shoot(dataset: Dataset, index: int) -> None:
        dataset.AcquisitionNumber = str(index // 4)

    write_series(phantom.volume, tmp_path, SeriesOptions(edit=step_and_shoot))
    np.testing.assert_array_equal(read_study(tmp_path).volume.hu, phantom.volume.hu)


def test_g7_the_affine_does_not_depend_on_the_names_of_files(phantom: Phantom, tmp_path: Path) -> None:
    def jitter(dataset: Dataset, index: int) -> None:
        dataset.ImageOrientationPatient = [1, 0.0004 * (index == 0), 0, -0.0004 * (index == 0), 1, 0]

    affines = []
    for folder, name in (("a", "{index:04d}"), ("b", "x{index}")):
        paths = write_series(phantom.volume, tmp_path / folder, SeriesOptions(edit=jitter, file_name=name))
        if folder == "b":
            for n, path in enumerate(reversed(paths)):
                path.rename(path.with_name(f"{n:04d}"))
        affines.append(read_study(tmp_path / folder).volume.grid.affine)
    np.testing.assert_array_equal(affines[0], affines[1])


def test_g13_cosines_at_the_edge_of_a_rounding_are_one_geometry(phantom: Phantom, tmp_path: Path) -> None:
    def edge(dataset: Dataset, index: int) -> None:
        tiny = 0.0009999 if index % 2 else 0.0010001
        dataset.ImageOrientationPatient = [1, tiny, 0, -tiny, 1, 0]

    write_series(phantom.volume, tmp_path, SeriesOptions(edit=edge))
    assert read_study(tmp_path).volume.grid.shape == phantom.volume.grid.shape


def test_uneven_steps_are_interpolated_at_their_places_and_told(phantom: Phantom, tmp_path: Path) -> None:
    def stretched(dataset: Dataset, index: int) -> None:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + 0.015 * 3.75 * max(index - 40, 0)]

    write_series(phantom.volume, tmp_path, SeriesOptions(edit=stretched))
    study = read_study(tmp_path)
    assert Code.INTERPOLATED_SLICES in {w.code for w in study.header.warnings}
    assert not np.array_equal(study.volume.hu, phantom.volume.hu)


def test_jitter_of_a_hundredth_of_a_step_is_left_alone(phantom: Phantom, tmp_path: Path) -> None:
    def jitter(dataset: Dataset, index: int) -> None:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + 0.03 * (-1) ** index]

    write_series(phantom.volume, tmp_path, SeriesOptions(edit=jitter))
    study = read_study(tmp_path)
    assert Code.INTERPOLATED_SLICES not in {w.code for w in study.header.warnings}
    np.testing.assert_array_equal(study.volume.hu, phantom.volume.hu)


def test_a_secondary_image_of_the_scanner_is_a_reconstruction_and_told_derived(
    phantom: Phantom, tmp_path: Path
) -> None:
    write_series(phantom.volume, tmp_path, SeriesOptions(image_type=("DERIVED", "SECONDARY", "AXIAL")))
    assert Code.DERIVED_IMAGE in {w.code for w in read_study(tmp_path).header.warnings}


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.81"])
def test_f10_a_lossy_syntax_is_told_without_its_tag(syntax: str, phantom: Phantom, tmp_path: Path) -> None:
    for path in write_series(phantom.volume, tmp_path, SeriesOptions(transfer_syntax=syntax)):
        dataset = pydicom.dcmread(path)
        if "LossyImageCompression" in dataset:
            del dataset.LossyImageCompression
            dataset.save_as(path)
    assert Code.LOSSY in {w.code for w in read_study(tmp_path).header.warnings}


def _enhanced(phantom: Phantom, path: Path, *, declared: int | None = None) -> None:
    """The same slices as one enhanced object: geometry and rescale in its functional groups."""
    classic = path.parent / "classic"
    slices = [pydicom.dcmread(file) for file in write_series(phantom.volume, classic)]
    for file in classic.iterdir():
        file.unlink()
    classic.rmdir()
    whole = slices[0].copy()
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    whole.NumberOfFrames = declared or len(slices)
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = slices[0].PixelSpacing, slices[0].SliceThickness
    plane.ImageOrientationPatient = slices[0].ImageOrientationPatient
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    whole.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for item in slices:
        position, rescale, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = item.ImagePositionPatient
        rescale.RescaleSlope, rescale.RescaleIntercept = item.RescaleSlope, item.RescaleIntercept
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [position], [rescale]
        groups.append(group)
    whole.PerFrameFunctionalGroupsSequence = groups
    whole.PixelData = b"".join(item.PixelData for item in slices)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del whole[keyword]
    whole.save_as(path, enforce_file_format=True)


def test_g18_enhanced_multi_frame_is_identical_to_the_classic_form(phantom: Phantom, tmp_path: Path) -> None:
    _enhanced(phantom, tmp_path / "enhanced.dcm")
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, phantom.volume.hu)
    assert study.volume.grid.same_as(phantom.volume.grid)


def test_g18_frames_that_nothing_describes_are_refused(phantom: Phantom, tmp_path: Path) -> None:
    _enhanced(phantom, tmp_path / "enhanced.dcm", declared=40)
    with pytest.raises(StudyRefused) as refused:
        read_study(tmp_path)
    assert refused.value.code is Code.PIXEL_FORMAT


def test_the_header_alone_refuses_what_reading_would_refuse(phantom: Phantom, tmp_path: Path) -> None:
    write_series(phantom.volume, tmp_path, SeriesOptions(edit=_drop("RescaleSlope")))
    with pytest.raises(StudyRefused) as refused:
        read_header(tmp_path)
    assert refused.value.code is Code.RESCALE_INVALID


def test_reading_leaves_the_filters_of_warnings_as_they_were(phantom_study: Path) -> None:
    before = list(warnings.filters)
    read_study(phantom_study)
    assert list(warnings.filters) == before
