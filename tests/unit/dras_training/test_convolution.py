import pytest
import torch

from dras_model.encoder.architecture import EncoderConfig, layers
from dras_model.encoder.network import SampleLoopConvolution
from dras_training.convolution import SharedKernelConvolution


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n_locations", [1, 3])
def test_it_is_the_sample_loop_in_value_and_in_every_gradient(n_locations, stride):
    torch.manual_seed(3)
    shared = SharedKernelConvolution(3, 5, stride=stride, num_experts=4)
    loop = SampleLoopConvolution(3, 5, stride=stride, num_experts=4)
    loop.load_state_dict(shared.state_dict())
    images, locations = torch.randn(6, 3, 8, 8, 8), torch.rand(n_locations, 3)
    weights = torch.randn(6, 5, *[8 // stride] * 3)
    found = shared(images, locations)
    expected = loop(images, locations.repeat_interleave(6 // n_locations, dim=0))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, a), b in zip(shared.named_parameters(), loop.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=2e-4, rtol=1e-4, msg=name)


def test_kernels_are_mixed_in_float32_when_products_are_not():
    shared = SharedKernelConvolution(1, 2, stride=1, num_experts=2)
    with torch.autocast("cpu", torch.bfloat16):
        shared(torch.randn(1, 1, 4, 4, 4), torch.rand(1, 3)).float().sum().backward()
    assert shared.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("layer", layers(EncoderConfig()), ids=lambda layer: layer.convolution)
def test_gradients_in_bfloat16_are_near_those_in_float32_at_every_layer(layer):
    torch.manual_seed(5)
    shared = SharedKernelConvolution(
        layer.in_channels, layer.out_channels, stride=layer.stride, num_experts=1
    )
    images, location = torch.randn(2, layer.in_channels, *[layer.in_size] * 3), torch.rand(1, 3)
    weights = torch.randn(2, layer.out_channels, *[layer.out_size] * 3)
    gradients = []
    for reduced in (False, True):
        shared.zero_grad()
        written = [torch.full((size,), float("nan")) for size in (10**5, shared.weight.numel())]
        del written  # what is freed is handed out again, as it is
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            found = shared(images, location).float()
        (found * weights).sum().backward()
        gradients.append(shared.weight.grad.clone())
    torch.testing.assert_close(*gradients, atol=0.02 * float(gradients[0].abs().max()), rtol=0.0)
