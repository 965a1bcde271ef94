"""The copy to look at is the scan's own voxels, averaged, at the place where they lie."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dras_model.imaging.lungs import segment_lungs
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.outputs.masks import low_attenuation
from dras_model.outputs.names import VIEW, VIEW_LOW, VIEW_LUNGS
from dras_model.outputs.view import View, take_view, write_view

FINE_MM = 0.8


@pytest.fixture(scope="module")
def ramp() -> tuple[Volume, LabelMap, LabelMap]:
    """HU that grow along x alone, one lung in the middle, its left half low; 0.8 mm voxels, LPS."""
    affine = np.array([[0, 0, FINE_MM, -30.0], [0, FINE_MM, 0, -40.0], [FINE_MM, 0, 0, 50.0], [0, 0, 0, 1.0]])
    grid = Grid((81, 101, 121), affine)
    hu = np.broadcast_to(np.arange(121, dtype=np.float32) * 10 - 1000, grid.shape).copy()
    lungs = np.zeros(grid.shape, np.uint8)
    lungs[30:50, 40:60, 50:70] = 1
    low = lungs.copy()
    low[30:50, 40:60, 60:70] = 2
    return Volume(hu, grid), LabelMap(lungs, grid), LabelMap(low, grid)


@pytest.fixture(scope="module")
def view(ramp) -> View:
    return take_view(*ramp)


def test_a_point_of_the_body_has_its_own_density_in_the_copy(view: View) -> None:
    inside = np.array([[10, 12, 14], [20, 5, 30], [3, 40, 2]])
    x_mm = view.grid.to_world(inside)[:, 0]
    told = view.hu[tuple(inside.T)]
    assert told == pytest.approx(10 * (x_mm + 30.0) / FINE_MM - 1000, abs=1.01)  # steps of 2 HU


def test_blocks_are_twice_the_pixel_and_the_margin_is_kept(view: View) -> None:
    assert view.grid.spacing_mm == pytest.approx((1.6, 1.6, 1.6))
    lung_mm = view.grid.to_world(np.argwhere(view.lungs == 1))
    ends_mm = view.grid.to_world(np.array([[0, 0, 0], np.array(view.hu.shape) - 1]))
    assert (lung_mm.min(axis=0) - ends_mm[0] >= 22.0).all()
    assert (ends_mm[1] - lung_mm.max(axis=0) >= 22.0).all()


def test_the_share_of_low_attenuation_is_that_of_the_lung_in_each_block(view: View) -> None:
    # Blocks begin at voxel 19 of x: the lung's are 16 to 24, and low attenuation begins amid block 20.
    row = view.low[20, 20, 17:25]
    assert row.tolist() == [0, 0, 0, 50, 100, 100, 100, 100]


def test_a_scan_smaller_than_a_block_is_one_block() -> None:
    grid = Grid((1, 2, 2), np.diag([0.5, 0.5, 0.5, 1.0])[[2, 1, 0, 3]])
    nothing = LabelMap(np.zeros(grid.shape, np.uint8), grid)
    view = take_view(Volume(np.zeros(grid.shape, np.float32), grid), nothing, nothing)
    assert view.hu.shape == (1, 1, 1)


def test_the_files_lie_where_the_scan_does_and_are_equal_each_time(phantom: Phantom, tmp_path: Path) -> None:
    volume = phantom.volume.oriented("LAS")
    lungs = segment_lungs(volume, None).map
    low = low_attenuation(volume, lungs)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_view(tmp_path / name, take_view(volume, lungs, low))
    for name in (VIEW, VIEW_LUNGS, VIEW_LOW):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    scan, seen = nib.load(tmp_path / "one" / VIEW), nib.load(tmp_path / "one" / VIEW_LUNGS)
    assert scan.shape == seen.shape
    centre_ras = np.array(
        nib.affines.apply_affine(seen.affine, np.argwhere(np.asarray(seen.dataobj) > 0).mean(axis=0))
    )
    lung_lps = volume.grid.to_world(np.argwhere(lungs.labels > 0)).mean(axis=0)
    assert centre_ras * [-1, -1, 1] == pytest.approx(lung_lps, abs=1.0)
