from dataclasses import replace

import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.lungs import Lungs, segment_lungs
from dras_model.imaging.patches import Patches, cut_patches
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.registration import Alignment, align
from dras_model.imaging.volume import Volume


@pytest.fixture(scope="module")
def parts(atlas: Atlas, phantom: Phantom) -> tuple[Volume, Lungs, Alignment, Patches]:
    volume = phantom.volume.oriented("LAS")
    lungs = segment_lungs(volume)
    alignment = align(atlas, lungs.map)
    return volume, lungs, alignment, cut_patches(volume, lungs, atlas, alignment)


def test_every_corner_gives_a_patch_and_most_are_valid(atlas: Atlas, parts) -> None:
    patches = parts[3]
    assert patches.hu.shape == (len(atlas.corners), 32, 32, 32)
    assert patches.hu.dtype == np.int16
    assert patches.valid.mean() >= 0.95


def test_values_are_clipped_to_the_window_of_the_method(parts) -> None:
    assert parts[3].hu.min() >= -1024
    assert parts[3].hu.max() == 240


def test_a_patch_shows_what_lies_at_its_corner(parts) -> None:
    volume, _, _, patches = parts
    # An independent reading: nearest native voxels, where the image is flat in every direction.
    for n in range(0, len(patches.hu), 37):
        offsets = np.array([[4, 4, 4], [16, 16, 16], [28, 20, 12]], dtype=float)
        world = patches.corner_mm[n] + offsets @ volume.grid.affine[:3, :3].T / np.array(
            volume.grid.spacing_mm
        )
        for offset, point in zip(offsets.astype(int), world, strict=True):
            index = volume.grid.to_index(point)
            low = np.floor(index).astype(int)
            if np.any(low < 1) or np.any(low + 2 >= volume.hu.shape):
                continue
            around = volume.hu[tuple(slice(i - 1, i + 3) for i in low)]
            value = patches.hu[n][tuple(offset)]
            spread = float(np.ptp(around))
            assert (
                around.min() - 0.3 * spread - 1
                <= max(value, around.min() - 0.3 * spread)
                <= max(240, around.max() + 0.3 * spread + 1)
            )


def test_the_lung_fraction_is_that_of_the_voxels_in_the_cube(parts) -> None:
    volume, lungs, _, patches = parts
    centres = volume.grid.to_world(np.argwhere(np.ones(volume.hu.shape, dtype=bool)))
    steps = volume.grid.affine[:3, :3] / np.array(volume.grid.spacing_mm)
    labels = lungs.map.labels.ravel()
    is_lung = (labels == RIGHT) | (labels == LEFT)
    for n in (0, 100, 290, 580):
        local = (centres - patches.corner_mm[n]) @ steps
        within = np.all((local >= -0.5) & (local < 31.5), axis=1)
        values = volume.hu.ravel()[within & is_lung]
        fraction = values.size * volume.grid.voxel_ml * 1000.0 / 32**3
        assert patches.lung_fraction[n] == pytest.approx(min(fraction, 1.0), abs=1e-4)


def test_a_patch_outside_the_scan_is_invalid_and_the_rest_is_delivered(atlas: Atlas, parts) -> None:
    volume, lungs, alignment, patches = parts
    moved = alignment.matrix.copy()
    moved[2, 3] += 120.0
    shifted = cut_patches(volume, lungs, atlas, replace(alignment, matrix=moved))
    outside = shifted.inside == 0.0
    assert outside.any()
    assert not shifted.valid[outside].any()
    assert (shifted.hu[outside] == -1024).all()
    assert shifted.valid.any()
    assert shifted.quality.n_outside > patches.quality.n_outside
