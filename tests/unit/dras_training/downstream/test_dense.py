"""A head slid over a phantom whose right lung alone is sick; the encoder is the share of low voxels."""

from dataclasses import replace
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from dras_model.encoder.heads import Calibration, FittedOn, Head, Interval
from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.resampling import resample_box, unit_grid
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.preparing import cut as cut_study
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream.dense import find_head, slide
from dras_training.downstream.places import locations_of, lung_of_blocks

LOW_HU, STRIDE = -940, 16


class LowShare:
    """In the place of an encoder: one component, the share of voxels at or below LOW_HU."""

    def __init__(self, bundle):
        self.bundle = bundle

    def encode(self, patches, locations):
        assert patches.dtype == np.int16
        assert (np.abs(locations) <= 1).all()
        return (patches <= LOW_HU).mean(axis=(1, 2, 3), dtype=np.float64)[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def bundle():
    return SimpleNamespace(manifest=SimpleNamespace(name="some"), heads=())


@pytest.fixture(scope="module")
def sick(atlas, phantom_study):
    """The phantom of the session, every second voxel of its right lung lost."""
    found = cut_study(phantom_study, atlas=atlas)
    hu = found.volume.hu.copy()
    hu[(found.lungs.map.labels == RIGHT) & (np.indices(hu.shape).sum(axis=0) % 2 == 0)] = -1000
    return replace(found, volume=Volume(hu, found.volume.grid))


def head(n_locations, groups=1):
    return Head(
        name="low",
        outcome="low attenuation",
        kind="regression",
        groups=tuple(i % groups for i in range(n_locations)),
        centre=((0.0,),) * groups,
        weights=((100.0,),) * groups,
        intercept=5.0,
        cohort=FittedOn(description="nobody", n=2),
        measure="R²",
        performance=Interval(value=0, low=0, high=0),
        calibration=Calibration(slope=1, intercept=0, error=0),
    )


@pytest.fixture(scope="module")
def made(sick, atlas, bundle):
    return slide(sick, head(len(atlas.corners)), LowShare(bundle), atlas, stride_mm=STRIDE)


def test_the_sick_lung_shows_and_the_other_does_not(made, sick):
    world = made.grid.to_world(np.argwhere(np.isfinite(made.values)))
    values = made.values[np.isfinite(made.values)]
    voxels = np.rint(sick.lungs.map.grid.to_index(world)).astype(int)
    side = sick.lungs.map.labels[tuple(voxels.T)]
    assert np.isin(side, (RIGHT, LEFT)).mean() > 0.8
    assert np.median(values[side == RIGHT]) > np.median(values[side == LEFT]) + 10.0
    assert (values >= 5.0).all()


def test_a_block_is_the_mean_of_the_cubes_that_hold_it(made, sick):
    shape = np.array(unit_grid(sick.volume.grid).shape)
    inside = np.argwhere(np.isfinite(made.values))
    z, y, x = inside[len(inside) // 2]
    found = []
    for offset in np.ndindex(2, 2, 2):
        start = (np.array([z, y, x]) - offset) * STRIDE
        assert (start >= 0).all()
        assert (start + 32 <= shape).all()
        cube = np.rint(resample_box(sick.volume, start, start + 32)).clip(-1024, 240)
        found.append(5.0 + 100.0 * (cube <= LOW_HU).mean())
    assert made.values[z, y, x] == pytest.approx(np.mean(found), abs=1e-3)


def test_the_map_lies_on_the_scan(made, sick, tmp_path):
    made.write(tmp_path / "map.nii.gz")
    read = nibabel.load(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(read.get_fdata(dtype=np.float32), made.values.transpose(2, 1, 0))
    first_mm = unit_grid(sick.volume.grid).to_world(np.full(3, (STRIDE - 1) / 2))  # of the first block
    np.testing.assert_allclose(read.affine[:3, 3], first_mm * (-1, -1, 1), atol=1e-3)  # RAS
    assert read.header.get_zooms() == (STRIDE,) * 3


def test_at_the_corners_of_the_atlas_the_locations_are_the_atlas_own(sick, atlas):
    corners = np.rint(unit_grid(sick.volume.grid).to_index(sick.patches.corner_mm)).astype(np.int64)
    found = locations_of(corners, sick.volume.grid, atlas, sick.alignment)
    np.testing.assert_allclose(found, atlas.locations, atol=2.0 / 200)  # a voxel of rounding


def test_a_head_that_is_not_there_or_needs_a_whole_patient_is_refused(atlas, bundle):
    with pytest.raises(SetupRefused, match="no heads") as refused:
        find_head(bundle, "low")
    assert refused.value.code is Code.HEAD_UNSUITED
    regional = SimpleNamespace(manifest=bundle.manifest, heads=(head(len(atlas.corners), groups=2),))
    with pytest.raises(SetupRefused, match="pooling patches"):
        find_head(regional, "low")


def test_slices_thicker_than_the_stride_leave_no_plane_of_blocks_empty():
    labels = np.zeros((20, 40, 40), dtype=np.uint8)
    labels[3:17, 8:32, 10:30] = RIGHT
    labels[3:17, 8:32, 20:30] = LEFT
    found = lung_of_blocks(LabelMap(labels, Grid(labels.shape, np.diag([5.0, 1.5, 1.5, 1.0]))), 4)
    # Slices of 5 mm around 15 to 80 mm, and the lattice's first voxel begins half a millimetre before 0.
    edges = (np.array([12.5, 82.5]) + 0.5) / 4
    planes = np.arange(found.shape[0])
    share = np.clip(np.minimum(planes + 1, edges[1]) - np.maximum(planes, edges[0]), 0.0, 1.0)
    np.testing.assert_allclose(found.max(axis=(1, 2)), share, atol=1e-12)
    assert found.sum() * 4**3 == pytest.approx(14 * 24 * 20 * 1.5 * 1.5 * 5.0)
