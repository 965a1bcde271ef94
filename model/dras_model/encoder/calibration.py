"""BatchNorm statistics for weights that were never trained, so that their embeddings tell patches apart.

Random kernels behind an identity BatchNorm squash every patch to nearly the same vector. Statistics
fitted on generated textures keep each channel at mean 0 and variance 1. Nothing here is training.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dras_model.encoder import reference
from dras_model.encoder.architecture import PATCH_SIZE, layers
from dras_model.encoder.weights import EncoderWeights

_TEXTURE_HU = (-1000.0, 100.0)  # from air to soft tissue
_SMOOTHING_VOXELS = (0.7, 5.0)
_CONTRAST_HU = (20.0, 250.0)


def textures(n_patches: int, *, seed: int) -> NDArray[np.int16]:
    """Return `n_patches` cubes (n, 32, 32, 32) of smooth noise in HU, each of its own mean, scale and grain."""
    generator = np.random.Generator(np.random.PCG64(seed))
    cubes = np.empty((n_patches, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE), dtype=np.int16)
    for cube in cubes:
        sigma = generator.uniform(*_SMOOTHING_VOXELS)
        noise = gaussian_filter(generator.standard_normal(cube.shape), sigma, mode="wrap")
        noise *= generator.uniform(*_CONTRAST_HU) / noise.std()
        cube[:] = np.clip(np.rint(noise + generator.uniform(*_TEXTURE_HU)), *_TEXTURE_HU).astype(np.int16)
    return cubes


def calibrate(
    weights: EncoderWeights, patches: NDArray[np.int16], locations: NDArray[np.float32]
) -> EncoderWeights:
    """Return `weights` whose running means and variances are those of `patches` (n, 32, 32, 32) in HU.

    Layer after layer, each on what the calibrated layers before it give, at `locations` (n, 3).
    """
    parameters = reference.in_float64(weights)
    fitted: dict[str, NDArray[np.float32]] = {}
    images = [reference.normalise(patch)[np.newaxis] for patch in patches]
    for layer in layers(weights.config):
        images = [
            reference.convolve(parameters, layer, image, location)
            for image, location in zip(images, locations, strict=True)
        ]
        stacked = np.stack(images)
        statistics = {"running_mean": stacked.mean((0, 2, 3, 4)), "running_var": stacked.var((0, 2, 3, 4))}
        for part, values in statistics.items():
            name = f"{layer.norm}.{part}"
            fitted[name] = values.astype(np.float32)
            parameters[name] = fitted[name].astype(np.float64)
        images = [reference.activate(parameters, layer, image) for image in images]
    return weights.replaced(fitted)
