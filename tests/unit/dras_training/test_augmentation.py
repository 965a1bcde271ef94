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
    added = augmentation.with_noise(flat, chosen.noise_seed, chosen.noise_hu) + 500.0
    assert float(added.std()) == pytest.approx(50.0, rel=0.01)
    assert abs(float(added.mean())) < 0.5
    assert float(torch.corrcoef(added.flatten(1)).fill_diagonal_(0).abs().max()) < 0.05


def test_noise_of_a_range_is_as_strong_as_each_view_drew():
    wanted = Augmentation(noise_probability=1.0, noise_lowest_hu=10.0, noise_hu=40.0)
    draws = drawn(2000, wanted)
    assert stats.kstest((draws.noise_hu - 10.0) / 30.0, "uniform").pvalue > 1e-4
    chosen = draws.rows(slice(0, 6))
    flat = torch.full((6, SIZE, SIZE, SIZE), -500.0)
    found = augmentation.with_noise(flat, chosen.noise_seed, chosen.noise_hu).flatten(1).std(1)
    torch.testing.assert_close(found, chosen.noise_hu, rtol=0.03, atol=0)


def test_a_breath_changes_tissue_and_leaves_air():
    draws = drawn(500, PLAIN.model_copy(update={"density": 0.2}))
    air, tissue = torch.full((500, 2, 2, 2), -1000.0), torch.full((500, 2, 2, 2), -800.0)
    factor = draws.density[:, 0]
    assert 0.8 <= float(factor.min()) < 0.81 < 1.19 < float(factor.max()) <= 1.2
    whole = [torch.nn.functional.interpolate(hu[:, None], SIZE)[:4, 0] for hu in (air, tissue)]
    same, changed = (augmentation.apply(hu, draws.rows(slice(0, 4))) for hu in whole)
    torch.testing.assert_close(same, whole[0], atol=1e-2, rtol=0)
    expected = (-1000.0 + 200.0 * factor[:4]).view(-1, 1, 1, 1).expand_as(changed)
    torch.testing.assert_close(changed, expected, atol=1e-2, rtol=0)


def test_an_offset_is_added_to_every_voxel():
    draws = drawn(3, PLAIN.model_copy(update={"offset_hu": 20.0}))
    cubes = patches(3).clamp(-900, 100)
    added = (augmentation.apply(cubes, draws) - cubes).flatten(1)
    torch.testing.assert_close(added, draws.density[:, 1:].expand_as(added), atol=1e-2, rtol=0)
    assert float(draws.density[:, 1].abs().max()) <= 20.0


def test_another_kernel_is_an_unsharp_mask_in_the_plane_and_a_blur_along_z():
    """s and the Gaussian are read from the middle of a filter; scipy's, of the same width, is the oracle."""
    cubes, draws = patches(4), drawn(4, PLAIN.model_copy(update={"sharpness_probability": 1.0}))
    found = augmentation.filtered(cubes, draws.filters)
    assert torch.equal(draws.filters[:, 1], draws.filters[:, 2])
    for cube, view, lines in zip(cubes.double().numpy(), found, draws.filters.double().numpy(), strict=True):
        expected = cube
        for axis, line in enumerate(lines):
            middle = line[16]
            ratio = middle[18] / middle[17]  # exp(-3 / (2 σ²)) of a Gaussian, whatever s is
            sigma = np.sqrt(-1.5 / np.log(ratio))
            weights = np.exp(-0.5 * (np.arange(-32, 33) / sigma) ** 2)
            s = -middle[17] / (weights / weights.sum())[33]
            blurred = ndimage.correlate1d(expected, weights / weights.sum(), axis=axis, mode="nearest")
            expected = expected + s * (expected - blurred)
            assert -1.0 <= s <= (0.0 if axis == 0 else 0.6)
            assert sigma <= 2.5 + 1e-3
        np.testing.assert_allclose(view, expected, atol=0.5)


def test_a_filter_keeps_what_is_even_and_leaves_out_what_was_not_chosen():
    draws = drawn(400, PLAIN.model_copy(update={"sharpness_probability": 0.5}))
    torch.testing.assert_close(draws.filters.sum(3), torch.ones(400, 3, SIZE), atol=1e-4, rtol=0)
    untouched = (draws.filters == torch.eye(SIZE)).all(3).all(2).all(1)
    assert stats.binomtest(int(untouched.sum()), 400, 0.5).pvalue > 1e-4


def test_a_recipe_without_a_scanner_draws_what_it_always_drew():
    """Options came later than recipes: what a seed gave without them, it gives."""
    plain, more = Augmentation(), Augmentation(density=0.1, sharpness_probability=0.5)
    first, second = drawn(5, plain), drawn(5, more)
    assert first.density is None
    assert first.filters is None
    for name in ("affine", "noise_seed", "noise_hu", "gamma"):
        assert torch.equal(getattr(first, name), getattr(second, name))


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
    found = augmentation.apply(air, draws)
    torch.testing.assert_close(found, air, atol=0.01, rtol=0)


def test_without_any_change_a_patch_is_clipped_and_nothing_else():
    cubes = patches(2) * 3
    found = augmentation.apply(cubes, drawn(2, PLAIN))
    torch.testing.assert_close(found, cubes.clamp(-1024, 240), atol=1e-2, rtol=0)


def test_part_of_a_batch_gets_the_views_it_gets_in_the_whole_batch():
    cubes, draws = (
        patches(6).to(torch.int16),
        drawn(
            6, Augmentation(elastic_voxels=1.0, density=0.1, sharpness_probability=0.5, noise_lowest_hu=1.0)
        ),
    )
    whole = augmentation.apply(cubes, draws)
    rows = torch.tensor([4, 1])
    torch.testing.assert_close(augmentation.apply(cubes[rows], draws.rows(rows)), whole[rows])


def test_the_patches_themselves_are_left_as_they_are():
    cubes = patches(3)
    before = cubes.clone()
    augmentation.apply(cubes, drawn(3, Augmentation(noise_probability=1.0)))
    assert torch.equal(cubes, before)
