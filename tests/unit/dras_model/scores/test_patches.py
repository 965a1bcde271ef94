import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.lungs import Lungs
from dras_model.imaging.patches import cut_patches
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.registration import align
from dras_model.imaging.volume import LabelMap
from dras_model.results.study import LungQuality
from dras_model.scores.patches import PATCH_COLUMNS, measure_patches
from dras_model.scores.regions import find_cells

QUALITY = LungQuality(
    right_ml=1, left_ml=1, airway_ml=0, mean_hu=-850, height_mm=100, touches_top_percent=0,
    touches_bottom_percent=0, touches_side_percent=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def measured(phantom: Phantom, atlas: Atlas):
    volume, lungs = phantom.volume.oriented("LAS"), phantom.truth.lungs.oriented("LAS")
    patches = cut_patches(volume, Lungs(lungs, QUALITY), atlas, align(atlas, lungs))
    return volume, lungs, patches, measure_patches(volume, find_cells(lungs, peel_mm=10.0), patches)


def test_densitometry_of_a_patch_is_that_of_the_lung_voxels_whose_centres_lie_in_its_cube(measured) -> None:
    volume, lungs, patches, found = measured
    centres = volume.grid.to_world(np.argwhere(np.ones(volume.hu.shape, dtype=bool)))
    steps = volume.grid.affine[:3, :3] / np.array(volume.grid.spacing_mm)
    is_lung = np.isin(lungs.labels.ravel(), (RIGHT, LEFT))
    with_lung = np.nonzero(found["n_lung_voxels"])[0]
    for n in with_lung[:: max(1, len(with_lung) // 12)]:
        local = (centres - patches.corner_mm[n]) @ steps
        values = volume.hu.ravel()[np.all((local >= -0.5) & (local < 31.5), axis=1) & is_lung].astype(float)
        assert found["n_lung_voxels"][n] == values.size
        assert found["laa950"][n] == pytest.approx(100.0 * np.mean(values <= -950), abs=1e-4)
        assert found["laa910"][n] == pytest.approx(100.0 * np.mean(values <= -910), abs=1e-4)
        assert found["perc15_hu"][n] == pytest.approx(np.percentile(values, 15.0), abs=1e-3)
        assert found["mean_hu"][n] == pytest.approx(values.mean(), abs=1e-3)


def test_voxels_and_lung_fraction_agree(measured) -> None:
    volume, _, patches, found = measured
    fraction = found["n_lung_voxels"] * volume.grid.voxel_ml * 1000.0 / 32**3
    np.testing.assert_allclose(np.minimum(fraction, 1.0), patches.lung_fraction, rtol=1e-5)


def test_every_column_has_a_number_a_patch_and_none_where_there_is_no_lung(measured) -> None:
    _, lungs, patches, found = measured
    assert list(found) == list(PATCH_COLUMNS)
    assert {len(column) for column in found.values()} == {len(patches.valid)}
    no_lungs = find_cells(LabelMap(np.zeros_like(lungs.labels), lungs.grid), peel_mm=10.0)
    nothing = measure_patches(measured[0], no_lungs, patches)
    assert (nothing["n_lung_voxels"] == 0).all()
    assert all(np.isnan(column).all() for name, column in nothing.items() if name != "n_lung_voxels")
