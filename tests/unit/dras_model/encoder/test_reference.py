import numpy as np
import pytest
from scipy.signal import correlate

from dras_model.encoder import reference
from dras_model.encoder.architecture import Layer

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_layer_is_the_correlation_with_the_mixture_of_its_experts(stride: int) -> None:
    layer = Layer("conv", "bn", in_channels=2, out_channels=3, stride=stride, in_size=6)
    parameters = {name: RNG.normal(size=shape) for name, shape in layer.shapes(num_experts=4)}
    image, location = RNG.normal(size=(2, 6, 6, 6)), np.array([0.2, -0.9, 0.5])
    gates = parameters["conv._routing_fn.fc.weight"] @ location + parameters["conv._routing_fn.fc.bias"]
    kernel = sum(
        expert / (1 + np.exp(-gate)) for gate, expert in zip(gates, parameters["conv.weight"], strict=True)
    )
    expected = [
        sum(correlate(image[c], kernel[o, c], mode="same") for c in range(2)) + parameters["conv.bias"][o]
        for o in range(3)
    ]
    found = reference.convolve(parameters, layer, image, location)
    np.testing.assert_allclose(found, np.array(expected)[:, ::stride, ::stride, ::stride], atol=1e-12)


def test_activation_is_batch_norm_by_running_statistics_then_elu() -> None:
    layer = Layer("conv", "bn", in_channels=1, out_channels=1, stride=1, in_size=1)
    parameters = {"bn.weight": [2.0], "bn.bias": [0.5], "bn.running_mean": [1.0], "bn.running_var": [4.0]}
    image = np.array([3.0, -3.0]).reshape(1, 1, 1, 2)
    found = reference.activate({k: np.array(v) for k, v in parameters.items()}, layer, image).ravel()
    # (3 - 1) / 2 * 2 + 0.5 = 2.5 stays; (-3 - 1) / 2 * 2 + 0.5 = -3.5 becomes exp(-3.5) - 1
    np.testing.assert_allclose(found, [2.5, np.exp(-3.5) - 1], atol=1e-5)


def test_the_window_maps_to_minus_one_and_one_and_clips_beyond() -> None:
    hu = np.array([-2048, -1024, -392, 240, 3071], dtype=np.int16)
    np.testing.assert_array_equal(reference.normalise(hu), [-1.0, -1.0, 0.0, 1.0, 1.0])
