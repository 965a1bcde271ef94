import numpy as np
import pytest
import torch

from dras_model.encoder import reference
from dras_model.encoder.architecture import EncoderConfig, parameter_shapes
from dras_model.encoder.calibration import textures
from dras_model.encoder.network import (
    ConditionalConvolution,
    EncoderNetwork,
    SampleLoopConvolution,
    normalise,
)
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas

N = 6


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return normalise(torch.from_numpy(textures(N, seed=21)))


@pytest.fixture(scope="module")
def locations(atlas: Atlas) -> torch.Tensor:
    return torch.from_numpy(atlas.locations[:N])


def test_the_state_has_the_names_and_shapes_of_the_layer_table() -> None:
    config = EncoderConfig(rep_dim=96, moco_dim=64, num_experts=3)
    state = {
        name: tuple(value.shape)
        for name, value in EncoderNetwork(config).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert state == parameter_shapes(config)


def test_weights_come_back_from_the_network_as_they_went_in(weights: EncoderWeights) -> None:
    returned = EncoderNetwork.from_weights(weights).to_weights()
    for name, array in weights.parameters.items():
        np.testing.assert_array_equal(returned.parameters[name], array)


def test_the_network_computes_what_the_reference_computes(
    weights: EncoderWeights, images: torch.Tensor, locations: torch.Tensor
) -> None:
    with torch.no_grad():
        found = EncoderNetwork.from_weights(weights)(images, locations).embedding.numpy()
    expected = reference.embed(weights, textures(N, seed=21), locations.numpy())
    np.testing.assert_allclose(found, expected, atol=5e-5)


def test_the_grouped_convolution_trains_as_the_loop_over_samples_does(
    weights: EncoderWeights, images: torch.Tensor, locations: torch.Tensor
) -> None:
    trained = []
    for convolution in (ConditionalConvolution, SampleLoopConvolution):
        network = EncoderNetwork.from_weights(weights, convolution=convolution).double().train()
        network(images.double(), locations.double()).projection.square().mean().backward()
        trained.append(network)
    grouped, looped = (dict(network.named_parameters()) for network in trained)
    for name, value in grouped.items():
        torch.testing.assert_close(value.grad, looped[name].grad, atol=1e-12, rtol=1e-8)
    torch.testing.assert_close(trained[0].state_dict(), trained[1].state_dict())


@pytest.mark.parametrize("n_locations", [1, 2, 3])
def test_runs_of_patches_that_share_a_location_equal_the_location_repeated(
    weights: EncoderWeights, images: torch.Tensor, locations: torch.Tensor, n_locations: int
) -> None:
    network = EncoderNetwork.from_weights(weights)
    shared = locations[:n_locations]
    with torch.no_grad():
        found = network.embed(images, shared)
        expected = network.embed(images, shared.repeat_interleave(N // n_locations, dim=0))
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-4)
