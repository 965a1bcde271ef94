"""Geometry against scipy.ndimage, intensities against their definition."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.spatial.transform import Rotation

from dras_training import augmentation
from dras_training.recipe import Augmentation

SIZE, CENTRE = 32, np.full(3, 15.5)
PLAIN = Augmentation(
    translation_voxels=0.0, rotation_degrees=0.0, scale=0.0, noise_probability=0.0, gamma_probability=0.0
)


def patches(n, *, seed=0):
    noise = np.random.default_rng(seed).normal(-600, 300, (n, SIZE, SIZE, SIZE))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 1, 1, 1)).astype(np.float32))


def drawn(n, recipe, *, seed=1):
    return augmentation.draw(n, recipe, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_affine_view_is_that_of_scipy_with_edges_that_go_on(flip):
    cubes, draws = patches(4), drawn(4, Augmentation(flip_probability=flip))
    found = augmentation.resampled(cubes, draws)
    for cube, view, affine in zip(cubes, found, draws.affine.double().numpy(), strict=True):
        linear, shift = affine[::-1, 2::-1], affine[::-1, 3]  # scipy counts z, y, x
        offset = CENTRE + shift - linear @ CENTRE
        expected = ndimage.affine_transform(cube.double().numpy(), linear, offset, order=1, mode="nearest")
        np.testing.assert_allclose(view, expected, atol=5e-3)


def test_elastic_views_are_those_of_scipy():
    cubes, draws = patches(2), drawn(2, PLAIN.model_copy(update={"elastic_voxels": 2.0}))
    found = augmentation.resampled(cubes, draws)
    index = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij")).astype(float)
    for cube, view, nodes in zip(cubes, found, draws.displaced.double().numpy(), strict=True):
        steps = index * (nodes.shape[1] - 1) / (SIZE - 1)
        field = np.stack([ndimage.map_coordinates(nodes[axis], steps, order=1) for axis in (2, 1, 0)])
        expected = ndimage.map_coordinates(cube.double().numpy(), index + field, order=1, mode="nearest")
        np.testing.assert_allclose(view, expected, atol=5e-3)


def test_draws_stay_within_the_published_ranges_and_fill_them():
    affine = drawn(4000, Augmentation()).affine.double().numpy()
    shifts, linear = affine[:, :, 3], affine[:, :, :3]
    scales = np.linalg.norm(linear, axis=1)
    for values, low, high in (
        (shifts, -12, 12),
        (scales, 0.9, 1.1),
        (Rotation.from_matrix(linear / scales[:, None]).as_euler("xyz", degrees=True), -10, 10),
    ):
        assert low <= values.min()
        assert values.max() <= high
        fraction = (values.ravel() - low) / (high - low)
        assert stats.kstest(fraction, "uniform").pvalue > 1e-4


def test_noise_has_the_standard_deviation_asked_for_and_falls_on_a_quarter():
    draws = drawn(4000, Augmentation())
    noisy = draws.noise_seed >= 0
    assert stats.binomtest(int(noisy.sum()), 4000, 0.25).pvalue > 1e-4
    chosen = draws.rows(torch.nonzero(noisy).flatten()[:8])
    flat = torch.full((8, SIZE, SIZE, SIZE), -500.0)
    added = augmentation.with_noise(flat, chosen.noise_seed, noise_hu=50.0) + 500.0
    assert float(added.std()) == pytest.approx(50.0, rel=0.01)
    assert abs(float(added.mean())) < 0.5
    assert float(torch.corrcoef(added.flatten(1)).fill_diagonal_(0).abs().max()) < 0.05


def test_contrast_is_a_power_of_the_patch_s_own_range():
    cubes, gamma = patches(3), torch.tensor([1.0, 0.5, 3.0])
    found = augmentation.with_contrast(cubes.clone(), gamma).double().numpy()
    for cube, view, power in zip(cubes.double().numpy(), found, gamma.numpy(), strict=True):
        low, high = cube.min(), cube.max()
        np.testing.assert_allclose(
            view, ((cube - low) / (high - low)) ** power * (high - low) + low, atol=0.05
        )


def test_a_patch_of_one_value_keeps_it():
    air = torch.full((2, SIZE, SIZE, SIZE), -1024.0)
    draws = drawn(2, Augmentation(gamma_probability=1.0, noise_probability=0.0))
    found = augmentation.apply(air, draws, noise_hu=0.0)
    torch.testing.assert_close(found, air, atol=0.01, rtol=0)


def test_without_any_change_a_patch_is_clipped_and_nothing_else():
    cubes = patches(2) * 3
    found = augmentation.apply(cubes, drawn(2, PLAIN), noise_hu=0.0)
    torch.testing.assert_close(found, cubes.clamp(-1024, 240), atol=1e-2, rtol=0)


def test_part_of_a_batch_gets_the_views_it_gets_in_the_whole_batch():
    cubes, draws = patches(6).to(torch.int16), drawn(6, Augmentation(elastic_voxels=1.0))
    whole = augmentation.apply(cubes, draws, noise_hu=50.0)
    rows = torch.tensor([4, 1])
    torch.testing.assert_close(augmentation.apply(cubes[rows], draws.rows(rows), noise_hu=50.0), whole[rows])


def test_the_patches_themselves_are_left_as_they_are():
    cubes = patches(3)
    before = cubes.clone()
    augmentation.apply(cubes, drawn(3, Augmentation(noise_probability=1.0)), noise_hu=50.0)
    assert torch.equal(cubes, before)
