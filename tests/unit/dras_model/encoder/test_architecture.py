from itertools import pairwise

import pytest
from pydantic import ValidationError

from dras_model.encoder.architecture import EncoderConfig, layers, parameter_shapes


def test_a_patch_shrinks_from_32_voxels_and_one_channel_to_one_voxel_and_rep_dim() -> None:
    chain = layers(EncoderConfig())
    assert [layer.in_size for layer in chain] == [32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2]
    assert chain[-1].out_size == 1
    assert [layer.out_channels for layer in chain] == [8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64, 128, 128]
    assert all(a.out_channels == b.in_channels for a, b in pairwise(chain))


def test_the_sizes_are_those_the_method_states() -> None:
    chain = layers(EncoderConfig())
    n_weights = sum(layer.fan_in * layer.out_channels for layer in chain)
    n_products = sum(layer.fan_in * layer.out_channels * layer.out_size**3 for layer in chain)
    assert n_weights == pytest.approx(1.03e6, rel=0.005)
    assert n_products == pytest.approx(97e6, rel=0.005)


def test_parameters_carry_the_names_of_the_authors() -> None:
    shapes = parameter_shapes(EncoderConfig(rep_dim=96, moco_dim=64, num_experts=3))
    assert len(shapes) == 13 * 8 + 4
    assert shapes["conv1.weight"] == (3, 8, 1, 3, 3, 3)
    assert shapes["downsample2.conv1.weight"] == (3, 32, 16, 3, 3, 3)
    assert shapes["downsample3.conv3._routing_fn.fc.weight"] == (3, 3)
    assert shapes["downsample3.bn3.running_var"] == (64,)
    assert shapes["conv4.bias"] == (96,)
    assert shapes["fc.0.weight"] == (96, 96)
    assert shapes["fc.2.weight"] == (64, 96)


@pytest.mark.parametrize("wrong", [{"rep_dim": 0}, {"num_experts": 65}, {"num_coordinates": 2}, {"width": 8}])
def test_a_configuration_outside_the_method_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        EncoderConfig.model_validate(wrong)
