"""The encoder written to be read: NumPy, float64, one patch at a time, nothing fused.

It is what the golden vectors of a bundle and the tests compare the served graph with, so it shares
no code with it. Slow on purpose (30 ms a patch); serving uses `runtime`.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dras_model.encoder.architecture import (
    BATCH_NORM_EPSILON,
    INTENSITY_SCALE_HU,
    KERNEL_SIZE,
    WINDOW_HU,
    Layer,
    layers,
)
from dras_model.encoder.weights import EncoderWeights

Array: TypeAlias = NDArray[np.float64]


def embed(weights: EncoderWeights, patches: NDArray[np.generic], locations: NDArray[np.generic]) -> Array:
    """Return embeddings h (n, rep_dim) of `patches` (n, 32, 32, 32) in HU at `locations` (n, 3)."""
    parameters = in_float64(weights)
    chain = layers(weights.config)
    embeddings = np.empty((len(patches), weights.config.rep_dim))
    for row, patch, location in zip(embeddings, patches, locations, strict=True):
        image = normalise(patch)[np.newaxis]
        for layer in chain:
            image = convolve(parameters, layer, image, location)
            image = activate(parameters, layer, image)
        row[:] = image.ravel()
    return embeddings


def in_float64(weights: EncoderWeights) -> dict[str, Array]:
    """Return the parameters in the precision of this module."""
    return {name: array.astype(np.float64) for name, array in weights.parameters.items()}


def normalise(hu: NDArray[np.generic]) -> Array:
    """Map HU to [-1, 1]: x = (clip(HU, -1024, 240) + 1024) / 632 - 1."""
    low, high = WINDOW_HU
    scaled: Array = (np.clip(hu.astype(np.float64), low, high) - low) / INTENSITY_SCALE_HU - 1.0
    return scaled


def convolve(
    parameters: Mapping[str, Array], layer: Layer, image: Array, location: NDArray[np.generic]
) -> Array:
    """Convolve `image` (c_in, z, y, x) by W(loc) = Σ_e sigmoid(A·loc + b)_e W_e, plus the shared bias.

    Zero padding of one voxel; returns (c_out, z', y', x') with the layer's stride.
    """
    name = layer.convolution
    routed = parameters[f"{name}._routing_fn.fc.weight"] @ location.astype(np.float64)
    shares = 1.0 / (1.0 + np.exp(-(routed + parameters[f"{name}._routing_fn.fc.bias"])))
    # e = expert, o = output channel, c = input channel, i j k = tap, z y x = output voxel
    kernel = np.einsum("e,eocijk->ocijk", shares, parameters[f"{name}.weight"])
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (KERNEL_SIZE,) * 3, axis=(1, 2, 3))
    windows = windows[:, :: layer.stride, :: layer.stride, :: layer.stride]
    output: Array = np.einsum("ocijk,czyxijk->ozyx", kernel, windows, optimize=True)
    return output + _per_channel(parameters[f"{name}.bias"])


def activate(parameters: Mapping[str, Array], layer: Layer, image: Array) -> Array:
    """Apply BatchNorm by its running statistics, then ELU, to `image` (c, z, y, x)."""
    mean, variance, scale, shift = (
        _per_channel(parameters[f"{layer.norm}.{part}"])
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    normed = (image - mean) / np.sqrt(variance + BATCH_NORM_EPSILON) * scale + shift
    activated: Array = np.where(normed > 0, normed, np.expm1(np.minimum(normed, 0.0)))
    return activated


def _per_channel(values: Array) -> Array:
    return values[:, np.newaxis, np.newaxis, np.newaxis]
