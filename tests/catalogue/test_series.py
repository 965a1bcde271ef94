"""The Series, geometry and HU table of the input catalogue: what reading a series answers to each row.

Bytes are parsed in this very process here; that it happens in another one is the File table's business.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from catalogue.inputs import (
    Edit,
    Make,
    Row,
    codes,
    dropping,
    edited,
    in_one_slice,
    kept,
    of_values,
    series,
    setting,
    write_enhanced,
)  # fmt: skip
from dras_model.imaging.loading import load_header, load_study
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Grid, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

N_SLICES = 66
_NO_RESCALE = dropping("RescaleSlope", "RescaleIntercept", "RescaleType")


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return make_phantom(PhantomSpec(seed=2, n_slices=N_SLICES, matrix=64))


def _moved(by: Callable[[int], tuple[float, float, float]]) -> Edit:
    """Move slices by millimetres along x, y and z."""

    def edit(dataset: Dataset, index: int) -> None:
        placed = [float(a) + b for a, b in zip(dataset.ImagePositionPatient, by(index), strict=True)]
        dataset.ImagePositionPatient = placed

    return edit


def _some(edit: Edit, among: Callable[[int], bool]) -> Edit:
    return lambda dataset, index: edit(dataset, index) if among(index) else None


def _same_positions(dataset: Dataset, index: int) -> None:
    dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], -(index // 2) * 5.0]


def _all(*makes: Make) -> Make:
    """Several inputs in one study, each in a folder of its own."""

    def make(phantom: Phantom, folder: Path) -> None:
        for number, one in enumerate(makes):
            (folder / f"part{number}").mkdir()
            one(phantom, folder / f"part{number}")

    return make


def _of_class(uid: str, modality: str) -> Make:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
        dataset.Modality = modality
        dataset.SeriesInstanceUID = f"1.2.3.{len(modality)}"

    return edited(edit)


_SEGMENTATION, _RTSTRUCT, _DOSE_REPORT = (
    "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.88.67",
)  # fmt: skip

REFUSED = [
    Row("G1 MR alone", series(modality="MR"), Code.NO_CT_SERIES),
    Row("G1 PET alone", series(modality="PT"), Code.NO_CT_SERIES),
    Row("G1 CR alone", _of_class("1.2.840.10008.5.1.4.1.1.1", "CR"), Code.NO_CT_SERIES),
    Row("G1 SEG alone", _of_class(_SEGMENTATION, "SEG"), Code.NO_CT_SERIES),
    Row("G1 RTSTRUCT alone", _of_class(_RTSTRUCT, "RTSTRUCT"), Code.NO_CT_SERIES),
    Row("G3 localizer alone", series(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), Code.NO_CT_SERIES),
    Row("G3 MIP alone", series(image_type=("DERIVED", "SECONDARY", "MIP")), Code.NO_CT_SERIES),
    Row("G4 one slice", kept(lambda index: index == 0), Code.TOO_FEW_SLICES),
    Row("G4 three slices", kept(lambda index: index < 3), Code.TOO_FEW_SLICES),
    Row("G5 every fifth slice missing", kept(lambda index: index % 5 != 2), Code.MISSING_SLICES),
    Row("G5 a gap of 18 mm", kept(lambda index: not 40 <= index < 43), Code.MISSING_SLICES),
    Row("G6 two slices at each place", edited(_same_positions), Code.DUPLICATE_POSITIONS),
    Row("G8 no position", edited(dropping("ImagePositionPatient")), Code.GEOMETRY_MISSING),
    Row("G8 no orientation", edited(dropping("ImageOrientationPatient")), Code.GEOMETRY_MISSING),
    Row("G8 no spacing", edited(dropping("PixelSpacing")), Code.GEOMETRY_MISSING),
    Row("G8 no position in one slice", edited(in_one_slice(ImagePositionPatient=None)), Code.GEOMETRY_MISSING),
    Row("G8 spacing zero", edited(setting(PixelSpacing=["0", "0"])), Code.GEOMETRY_MISSING),
    Row("G8 spacing negative", edited(setting(PixelSpacing=["-1", "1"])), Code.GEOMETRY_MISSING),
    Row("G8 cosines not orthogonal", edited(setting(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8, 0])),
        Code.GEOMETRY_MISSING),
    Row("G8 cosines all zero", edited(setting(ImageOrientationPatient=[0] * 6)), Code.GEOMETRY_MISSING),
    Row("G8 slices moved in their plane",
        edited(_moved(lambda index: (60.0, 30.0, 0.0) if 20 <= index < 60 else (0.0, 0.0, 0.0))),
        Code.INCONSISTENT_GEOMETRY),
    Row("G13 spacing changes in every second slice",
        edited(_some(setting(PixelSpacing=[1.0, 1.0]), lambda index: bool(index % 2))),
        Code.INCONSISTENT_GEOMETRY),
    Row("G14 intercept missing", edited(dropping("RescaleIntercept")), Code.RESCALE_INVALID),
    Row("G14 rescale missing in half of the slices", edited(_some(_NO_RESCALE, lambda index: index < 33)),
        Code.RESCALE_INVALID),
    Row("G14 rescale missing, values from zero on", edited(_NO_RESCALE), Code.NOT_HU),
    Row("G14 rescale missing, values 60 too high",
        of_values(lambda hu: hu + 60, signed=True, intercept=0.0, edit=_NO_RESCALE), Code.NOT_HU),
    Row("G17 offset lost", of_values(lambda hu: hu + 1024), Code.NOT_HU),
    Row("G17 inverted and MONOCHROME1",
        of_values(lambda hu: -hu, edit=setting(PhotometricInterpretation="MONOCHROME1")), Code.NOT_HU),
    Row("G17 windowed to 8 bit", of_values(lambda hu: np.clip((hu + 1350) / 1500 * 255, 0, 255)), Code.NOT_HU),
    Row("G17 an iodine map", edited(setting(RescaleType="MGML")), Code.NOT_HU),
    Row("A1 constant", of_values(lambda hu: np.full_like(hu, 40.0)), Code.NOT_HU),
    Row("S1 two patients in two series",
        _all(series(), series(seed=5, edit=setting(PatientID="ANOTHER"))), Code.MIXED_PATIENT),
    Row("S1 two patients in one series",
        edited(_some(setting(PatientID="ANOTHER"), lambda index: index > 30)), Code.MIXED_PATIENT),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_a_bad_series_is_refused_with_its_code_and_one_sentence(
    row: Row, chest: Phantom, tmp_path: Path
) -> None:
    row.make(chest, tmp_path)
    with pytest.raises(StudyRefused) as refused:
        load_study(tmp_path)
    assert refused.value.code is row.code
    assert "\n" not in str(refused.value)
    assert "PHANTOM" not in str(refused.value)
    assert "ANOTHER" not in str(refused.value)


@dataclass(frozen=True)
class Accepted:
    """One input that gives the phantom's voxels bit for bit, and the codes it is flagged with."""

    id: str
    make: Make
    warned: frozenset[Code] = frozenset()


def _accepted(name: str, make: Make, *warned: Code) -> Accepted:
    return Accepted(name, make, frozenset(warned))


def _later_breath(dataset: Dataset, index: int) -> None:
    dataset.AcquisitionNumber = "10"
    dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:50]}.9.{index}"


def _two_breaths(shift_mm: float) -> Make:
    """Two acquisitions of the same stretch; the second one is thinner air by 30 HU."""

    def second(dataset: Dataset, index: int) -> None:
        _later_breath(dataset, index)
        _moved(lambda _: (0.0, 0.0, shift_mm))(dataset, index)

    breath = of_values(lambda hu: np.maximum(hu - 30.0, -1024.0), edit=second)
    return _all(series(edit=setting(AcquisitionNumber="9")), breath)


def _per_slice(dataset: Dataset, index: int) -> None:
    stored = np.frombuffer(dataset.PixelData, np.uint16)
    dataset.PixelData = (stored + index).astype(np.uint16).tobytes()
    dataset.RescaleIntercept = str(-1024 - index)


def _enhanced(**how: object) -> Make:
    def make(phantom: Phantom, folder: Path) -> None:
        write_enhanced(phantom.volume, folder / "enhanced.dcm", **how)  # type: ignore[arg-type]

    return make


def _split(phantom: Phantom, folder: Path) -> None:
    """The upload comes in three parts, one of which repeats ten slices of another."""
    paths = write_series(phantom.volume, folder)
    for number in range(3):
        (folder / f"part{number}").mkdir()
    for index, path in enumerate(paths):
        if index < 10:
            (folder / "part2" / path.name).write_bytes(path.read_bytes())
        path.rename(folder / f"part{index % 3}" / f"again {path.name}")


ACCEPTED = [
    _accepted("G1 among MR, PET and SEG",
              _all(series(), series(modality="MR", seed=9, edit=setting(PatientID="PHANTOM0")),
                   _of_class(_SEGMENTATION, "SEG"), _of_class(_DOSE_REPORT, "SR"))),
    _accepted("G6 two breaths at the same places", _two_breaths(0.0), Code.FILES_IGNORED),
    _accepted("G6 two breaths half a step apart", _two_breaths(2.27), Code.FILES_IGNORED),
    _accepted("G6 two breaths 0.4 mm apart", _two_breaths(0.4), Code.FILES_IGNORED),
    _accepted("G6 step and shoot",
              edited(lambda dataset, index: setattr(dataset, "AcquisitionNumber", str(index // 4)))),
    _accepted("G7 shuffled", series(instance_numbers="shuffled")),
    _accepted("G7 reversed", series(instance_numbers="descending")),
    _accepted("G7 missing", series(instance_numbers="missing")),
    _accepted("G8 positions that are 0.03 mm off", edited(_moved(lambda i: (0.0, 0.0, 0.03 * (-1) ** i)))),
    _accepted("G13 one slice of another matrix",
              _all(series(), edited(
                  lambda dataset, index: setting(
                      Rows=32, PixelData=dataset.PixelData[: len(dataset.PixelData) // 2],
                      SOPInstanceUID=f"1.2.3.{index}")(dataset, index) if index == 7 else setting(
                      SeriesInstanceUID="1.2.3.4", Modality="MR")(dataset, index))),
              Code.FILES_IGNORED),
    _accepted("G13 cosines at the edge of a rounding",
              edited(lambda dataset, index: setattr(
                  dataset, "ImageOrientationPatient",
                  [1, 1e-3 + 1e-7 * (-1) ** index, 0, -1e-3 - 1e-7 * (-1) ** index, 1, 0]))),
    _accepted("G14 rescale missing, values are HU",
              series(signed=True, intercept=0.0, edit=_NO_RESCALE), Code.RESCALE_ASSUMED),
    _accepted("G15 rescale differs per slice", edited(_per_slice)),
    _accepted("G17 clipped at 12 bit", edited(setting(BitsStored=12, HighBit=11))),
    _accepted("G17 MONOCHROME1", edited(setting(PhotometricInterpretation="MONOCHROME1"))),
    _accepted("G18 enhanced", _enhanced()),
    _accepted("G18 enhanced, rescale shared", _enhanced(rescale_shared=True)),
    _accepted("G18 enhanced, spacing per frame", _enhanced(measures_per_frame=True)),
    _accepted("G18 enhanced, frames shuffled",
              _enhanced(order=np.random.default_rng(1).permutation(N_SLICES))),
    _accepted("split upload with repeats", _split, Code.FILES_IGNORED),
]  # fmt: skip


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.id)
def test_an_odd_series_gives_the_same_voxels_and_is_told(
    row: Accepted, chest: Phantom, tmp_path: Path
) -> None:
    row.make(chest, tmp_path)
    study = load_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, chest.volume.hu)
    assert study.volume.grid.same_as(chest.volume.grid, tolerance_mm=0.5)
    assert codes(study) == row.warned


@pytest.mark.parametrize("stored", [-2000, -3024, -32768, 63536])
def test_g16_padding_of_any_value_becomes_air(stored: int, chest: Phantom, tmp_path: Path) -> None:
    declared = stored if stored < 0 else stored - 65536
    edit: Edit = lambda dataset, index: None  # noqa: E731 - one of two edits
    if stored > 0:  # as GE writes it: the sign of the value is not that of the pixels

        def edit(dataset: Dataset, index: int) -> None:
            del dataset.PixelPaddingValue
            dataset.add_new("PixelPaddingValue", "US", stored)

    write_series(
        chest.volume, tmp_path, SeriesOptions(signed=True, intercept=0.0, padding=declared, edit=edit)
    )
    hu = load_study(tmp_path).volume.hu
    y, x = np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in hu.shape[1:]], indexing="ij")
    circle = y**2 + x**2 <= 1.0
    np.testing.assert_array_equal(hu[:, circle], chest.volume.hu[:, circle])
    assert np.all(hu[:, ~circle] == -1024.0)


def test_g2_the_smooth_series_is_chosen_and_each_other_has_its_reason(chest: Phantom, tmp_path: Path) -> None:
    maker = {"manufacturer": "GE MEDICAL SYSTEMS", "seed": 1}
    coronal = chest.volume.oriented("LSA")
    write_series(chest.volume, tmp_path / "a", SeriesOptions(kernel="LUNG", series_number=1, **maker))
    write_series(chest.volume, tmp_path / "b", SeriesOptions(series_number=2, **maker))
    write_series(
        coronal, tmp_path / "c",
        SeriesOptions(series_number=3, image_type=("DERIVED", "SECONDARY", "REFORMATTED"), **maker),
    )  # fmt: skip
    report = SeriesOptions(series_number=4, modality="SR", **maker)
    write_series(Volume(chest.volume.hu[:2], Grid((2, 64, 64), chest.volume.grid.affine)),
                 tmp_path / "d", report)  # fmt: skip
    first, again = load_header(tmp_path), load_header(tmp_path)
    assert first.acquisition.kernel == "STANDARD"
    assert [candidate.chosen for candidate in first.candidates] == [True, False, False, False]
    assert all(candidate.reason for candidate in first.candidates)
    assert first.candidates == again.candidates
    for candidate in first.candidates[1:3]:
        named = load_header(tmp_path, series_uid=candidate.series_instance_uid)
        assert named.series_uid == candidate.series_instance_uid


def test_g2_a_series_that_is_not_there_is_refused(phantom_study: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        load_study(phantom_study, series_uid="1.2.3")
    assert refused.value.code is Code.SERIES_NOT_FOUND


def test_g3_a_localizer_within_the_series_is_dropped_and_counted(chest: Phantom, tmp_path: Path) -> None:
    localizer = setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(chest.volume, tmp_path, SeriesOptions(edit=_some(localizer, lambda index: index == 0)))
    study = load_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, chest.volume.hu[1:])
    assert codes(study) == {Code.FILES_IGNORED}


def test_g5_one_missing_slice_is_bridged_at_its_true_place(chest: Phantom, tmp_path: Path) -> None:
    write_series(chest.volume, tmp_path)[40].unlink()
    study = load_study(tmp_path)
    assert study.volume.grid.same_as(chest.volume.grid)
    warning = next(w for w in study.header.warnings if w.code is Code.INTERPOLATED_SLICES)
    assert warning.evidence["n_missing"] == 1
    halfway = (chest.volume.hu[39] + chest.volume.hu[41]) / 2.0
    np.testing.assert_allclose(study.volume.hu[40], halfway, atol=1e-3)
    np.testing.assert_allclose(study.volume.hu[41:], chest.volume.hu[41:], atol=1e-3)


def test_g5_uneven_steps_are_interpolated_at_their_places_and_told(chest: Phantom, tmp_path: Path) -> None:
    stretched = _moved(lambda index: (0.0, 0.0, 0.015 * 4.5 * max(index - 33, 0)))
    write_series(chest.volume, tmp_path, SeriesOptions(edit=stretched))
    study = load_study(tmp_path)
    assert codes(study) == {Code.INTERPOLATED_SLICES}
    np.testing.assert_array_equal(study.volume.hu[0], chest.volume.hu[0])
    assert not np.array_equal(study.volume.hu[33], chest.volume.hu[33])


def test_g7_the_affine_does_not_depend_on_the_names_of_files(chest: Phantom, tmp_path: Path) -> None:
    def jitter(dataset: Dataset, index: int) -> None:
        dataset.ImageOrientationPatient = [1, 0.0004 * (index == 0), 0, -0.0004 * (index == 0), 1, 0]

    affines = []
    for folder, name in (("a", "{index:04d}"), ("b", "x{index}")):
        paths = write_series(chest.volume, tmp_path / folder, SeriesOptions(edit=jitter, file_name=name))
        if folder == "b":
            for n, path in enumerate(reversed(paths)):
                path.rename(path.with_name(f"{n:04d}"))
        affines.append(load_header(tmp_path / folder).grid.affine)
    np.testing.assert_array_equal(affines[0], affines[1])


@pytest.mark.parametrize("degrees", [-30.0, -10.0, 2.0, 30.0])
def test_g9_a_tilted_gantry_is_sheared_by_the_true_affine(degrees: float, tmp_path: Path) -> None:
    """The oracle is a field known everywhere in the world: sampled on tilted slices, asked on the grid."""
    y_mm, z_mm = 2.0 * np.arange(90.0), 5.0 * np.arange(40.0)
    drift_mm = np.tan(np.radians(degrees)) * z_mm
    chest_y = y_mm[None, :] + drift_mm[:, None]  # where each row of each slice truly lies
    plane = _field(chest_y[:, :, None], z_mm[:, None, None])
    hu = np.rint(np.broadcast_to(plane, (40, 90, 64))).astype(np.float32)
    affine = np.array([[0, 0, 2.0, 0], [0, 2.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1.0]])
    volume = Volume(hu, Grid(hu.shape, affine))
    tilted = _moved(lambda index: (0.0, float(drift_mm[index]), 0.0))
    write_series(volume, tmp_path, SeriesOptions(edit=tilted))
    study = load_study(tmp_path)
    warning = next(w for w in study.header.warnings if w.code is Code.TILT)
    assert warning.evidence["degrees"] == pytest.approx(abs(degrees), abs=0.05)
    world = study.volume.grid.to_world(np.argwhere(study.volume.hu > -1020.0))
    expected = _field(world[:, 1], world[:, 2])
    found = study.volume.hu[study.volume.hu > -1020.0]
    assert np.percentile(np.abs(found - expected), 99) <= 3.0


def _field(y_mm: np.ndarray, z_mm: np.ndarray) -> np.ndarray:
    """Smooth in y, so that linear interpolation is near; air behind, tissue in front."""
    return -500.0 + 480.0 * np.sin(y_mm / 35.0) + 0.3 * z_mm


def test_g18_frames_that_nothing_describes_are_refused(chest: Phantom, tmp_path: Path) -> None:
    write_enhanced(chest.volume, tmp_path / "enhanced.dcm", declared=40)
    with pytest.raises(StudyRefused) as refused:
        load_study(tmp_path)
    assert refused.value.code is Code.PIXEL_FORMAT


def test_s1_the_refusal_lists_the_series_by_a_number_of_the_patient(chest: Phantom, tmp_path: Path) -> None:
    _all(series(), series(seed=5, edit=setting(PatientID="ANOTHER", PatientName="Doe^Jane")))(chest, tmp_path)
    with pytest.raises(StudyRefused) as refused:
        load_header(tmp_path)
    told = str(refused.value)
    uids = {str(pydicom.dcmread(path).SeriesInstanceUID) for path in tmp_path.rglob("*.dcm")}
    assert len(uids) == 2
    assert all(f"{uid} with {N_SLICES} images" in told for uid in uids)
    assert "patient 1: " in told
    assert "patient 2: " in told
    assert "Jane" not in told


def test_s1_a_series_that_is_named_is_read_beside_another_patient(chest: Phantom, tmp_path: Path) -> None:
    _all(series(), series(seed=5, edit=setting(PatientID="ANOTHER")))(chest, tmp_path)
    uid = str(pydicom.dcmread(tmp_path / "part1" / "IM0000.dcm").SeriesInstanceUID)
    assert load_header(tmp_path, series_uid=uid).series_uid == uid


def test_the_header_alone_refuses_what_reading_would_refuse(chest: Phantom, tmp_path: Path) -> None:
    write_series(chest.volume, tmp_path, SeriesOptions(edit=dropping("RescaleSlope")))
    with pytest.raises(StudyRefused) as refused:
        load_header(tmp_path)
    assert refused.value.code is Code.RESCALE_INVALID


def test_a_secondary_image_of_the_scanner_is_a_reconstruction_and_told_derived(
    chest: Phantom, tmp_path: Path
) -> None:
    write_series(chest.volume, tmp_path, SeriesOptions(image_type=("DERIVED", "SECONDARY", "AXIAL")))
    assert codes(load_study(tmp_path)) == {Code.DERIVED_IMAGE}


def test_reading_leaves_the_filters_of_warnings_as_they_were(phantom_study: Path) -> None:
    before = list(warnings.filters)
    load_study(phantom_study)
    assert list(warnings.filters) == before
