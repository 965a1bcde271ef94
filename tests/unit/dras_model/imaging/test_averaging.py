"""Reading onto a coarser grid gives the means of blocks of the voxels that reading in full gives."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from catalogue.inputs import write_enhanced
from dras_model.imaging import working_grid
from dras_model.imaging.loading import load_header, load_study
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code


@pytest.fixture(scope="module")
def fine() -> Phantom:
    """151 slices of 0.8 mm with pixels of 0.45 mm: both axes can be averaged."""
    return make_phantom(PhantomSpec(seed=3, n_slices=151, matrix=101, pixel_mm=0.45, slice_mm=0.8))


def _means(volume: Volume, factors: tuple[int, int, int]) -> np.ndarray:
    z, y, x = (n // f for n, f in zip(volume.hu.shape, factors, strict=True))
    of_z, of_y, of_x = factors
    part = volume.hu[: z * of_z, : y * of_y, : x * of_x].astype(np.float64)
    return part.reshape(z, of_z, y, of_y, x, of_x).mean(axis=(1, 3, 5))


@pytest.mark.parametrize(
    ("most", "factors"), [(500_000, (1, 2, 2)), (200_000, (1, 2, 2))], ids=["some", "more than is possible"]
)
def test_pixels_are_averaged(
    most: int, factors: tuple[int, int, int], fine: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_grid, "MOST_WORKING", most)
    write_series(fine.volume, tmp_path)
    study = load_study(tmp_path)
    np.testing.assert_allclose(study.volume.hu, _means(fine.volume, factors), atol=1e-3)
    warning = next(w for w in study.header.warnings if w.code is Code.AVERAGED_VOXELS)
    assert warning.evidence["block"] == "2 x 2 x 1"
    assert load_header(tmp_path).grid.same_as(study.volume.grid)


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of slices are averaged: their axis is the finer one here."""
    monkeypatch.setattr(working_grid, "MOST_WORKING", 800_000)


@pytest.fixture(scope="module")
def thin() -> Phantom:
    return make_phantom(PhantomSpec(seed=3, n_slices=251, matrix=64, pixel_mm=1.6, slice_mm=0.45))


@pytest.mark.usefixtures("halved")
def test_slices_are_averaged_in_pairs_whatever_their_order(thin: Phantom, tmp_path: Path) -> None:
    write_series(thin.volume.oriented("LPI"), tmp_path)
    volume = load_study(tmp_path).volume.oriented("LPS")
    np.testing.assert_allclose(volume.hu, _means(thin.volume, (2, 1, 1)), atol=1e-3)


@pytest.mark.usefixtures("halved")
def test_frames_of_one_file_are_averaged_like_slices(thin: Phantom, tmp_path: Path) -> None:
    order = np.random.default_rng(2).permutation(251)
    write_enhanced(thin.volume, tmp_path / "enhanced.dcm", order=order)
    np.testing.assert_allclose(load_study(tmp_path).volume.hu, _means(thin.volume, (2, 1, 1)), atol=1e-3)


@pytest.mark.usefixtures("halved")
def test_a_missing_slice_is_bridged_before_averaging(thin: Phantom, tmp_path: Path) -> None:
    write_series(thin.volume, tmp_path)[100].unlink()
    study = load_study(tmp_path)
    filled = thin.volume.hu.copy()
    filled[100] = (filled[99] + filled[101]) / 2.0
    expected = _means(Volume(filled, thin.volume.grid), (2, 1, 1))
    np.testing.assert_allclose(study.volume.hu, expected, atol=2e-2)
    assert {w.code for w in study.header.warnings} == {Code.AVERAGED_VOXELS, Code.INTERPOLATED_SLICES}


@pytest.mark.usefixtures("halved")
def test_padding_and_rescale_are_applied_before_averaging(thin: Phantom, tmp_path: Path) -> None:
    def shifted(dataset: pydicom.Dataset, index: int) -> None:
        stored = np.frombuffer(dataset.PixelData, np.uint16)
        dataset.PixelData = (stored + index).astype(np.uint16).tobytes()
        dataset.RescaleIntercept = str(-1024 - index)

    write_series(thin.volume, tmp_path, SeriesOptions(edit=shifted))
    np.testing.assert_allclose(load_study(tmp_path).volume.hu, _means(thin.volume, (2, 1, 1)), atol=1e-3)
