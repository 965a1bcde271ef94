import numpy as np

from dras_model.encoder import reference
from dras_model.encoder.architecture import EncoderConfig, layers
from dras_model.encoder.calibration import calibrate, textures
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.imaging.atlas import Atlas


def test_textures_lie_between_air_and_tissue_and_differ_in_mean_and_grain() -> None:
    cubes = textures(12, seed=1).astype(float)
    assert cubes.shape == (12, 32, 32, 32)
    assert cubes.min() >= -1000
    assert cubes.max() <= 100
    assert np.ptp(cubes.mean((1, 2, 3))) > 300
    grain = np.abs(np.diff(cubes, axis=1)).mean((1, 2, 3))
    assert grain.max() > 5 * grain.min()
    np.testing.assert_array_equal(cubes, textures(12, seed=1))


def test_untrained_embeddings_tell_patches_apart_only_after_calibration(atlas: Atlas) -> None:
    drawn = initialise(EncoderConfig(num_experts=2), seed=2)
    locations = atlas.locations
    unseen = textures(6, seed=4)
    before = reference.embed(drawn, unseen, locations[:6])
    after = reference.embed(calibrate(drawn, textures(12, seed=3), locations), unseen, locations[:6])
    assert before.std(axis=0).mean() < 0.05
    assert after.std(axis=0).mean() > 0.4


def test_the_statistics_are_those_of_the_calibration_patches(weights: EncoderWeights, atlas: Atlas) -> None:
    images = [reference.normalise(cube)[np.newaxis] for cube in textures(12, seed=13)]
    first = layers(weights.config)[0]
    parameters = reference.in_float64(weights)
    convolved = np.stack(
        [reference.convolve(parameters, first, *pair) for pair in zip(images, atlas.locations, strict=True)]
    )
    np.testing.assert_allclose(convolved.mean((0, 2, 3, 4)), parameters["bn1.running_mean"], atol=1e-6)
    np.testing.assert_allclose(convolved.var((0, 2, 3, 4)), parameters["bn1.running_var"], rtol=1e-5)
