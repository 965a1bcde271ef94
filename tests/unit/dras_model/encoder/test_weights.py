from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from dras_model.encoder.architecture import EncoderConfig, layers
from dras_model.encoder.weights import EncoderWeights, WeightsInvalid, initialise

CONFIG = EncoderConfig(num_experts=2)
Parameters: TypeAlias = dict[str, NDArray[np.generic]]


def test_a_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = (initialise(CONFIG, seed=seed) for seed in (5, 5, 6))
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(array, again.parameters[name])
    assert not np.array_equal(first.parameters["conv4.weight"], other.parameters["conv4.weight"])


def test_each_expert_is_drawn_uniformly_within_one_over_the_root_of_its_fan_in() -> None:
    weights = initialise(EncoderConfig(), seed=1)
    for layer in layers(weights.config):
        for expert in weights.parameters[f"{layer.convolution}.weight"]:
            bound = layer.fan_in**-0.5
            assert np.abs(expert).max() <= bound
            assert expert.std() == pytest.approx(bound / np.sqrt(3.0), rel=0.15)


def _without(name: str) -> Callable[[Parameters], Parameters]:
    return lambda parameters: {key: value for key, value in parameters.items() if key != name}


def _with(name: str, value: NDArray[np.generic]) -> Callable[[Parameters], Parameters]:
    return lambda parameters: {**parameters, name: value}


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (_without("bn2.running_mean"), "bn2.running_mean is missing"),
        (_with("bn5.bias", np.zeros(8, np.float32)), "bn5.bias belongs to no layer"),
        (_with("bn1.bias", np.zeros(9, np.float32)), r"bn1.bias has shape \(9,\), \(8,\) is needed"),
        (_with("bn1.bias", np.zeros(8)), "bn1.bias is float64, float32 is needed"),
        (_with("bn1.bias", np.full(8, np.nan, np.float32)), "bn1.bias holds a value that is not finite"),
        (_with("bn1.weight", np.full(8, np.inf, np.float32)), "bn1.weight holds a value that is not finite"),
        (_with("bn1.running_var", np.full(8, -1, np.float32)), "bn1.running_var holds a negative variance"),
    ],
)
def test_parameters_that_make_no_encoder_are_named(
    change: Callable[[Parameters], Parameters], clause: str
) -> None:
    parameters = change(dict(initialise(CONFIG, seed=0).parameters))
    with pytest.raises(WeightsInvalid, match=clause):
        EncoderWeights(CONFIG, parameters)  # type: ignore[arg-type]


def test_weights_cannot_be_changed_by_name_after_they_were_checked() -> None:
    weights = initialise(CONFIG, seed=0)
    with pytest.raises(TypeError):
        weights.parameters["conv1.bias"] = np.zeros(8, np.float32)  # type: ignore[index]
