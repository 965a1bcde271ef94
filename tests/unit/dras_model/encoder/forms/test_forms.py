"""Every form of the graph against the unfused float64 reference, on encoders of several sizes."""

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from dras_model.encoder import graph, reference
from dras_model.encoder.architecture import EncoderConfig, layers
from dras_model.encoder.calibration import calibrate, textures
from dras_model.encoder.forms import slabs
from dras_model.encoder.manifest import FormName
from dras_model.encoder.sessions import channel_block
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.imaging.atlas import Atlas

FORMS: tuple[FormName, ...] = ("grouped", "unfolded", "blocked")


def _run(weights: EncoderWeights, form: FormName, atlas: Atlas, *, batch: int) -> NDArray[np.float32]:
    if graph.PLANS[form].channel_block not in (None, channel_block()):
        pytest.skip(f"this processor keeps {channel_block()} channels side by side")
    model = graph.build(weights, form=form, batch=batch).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {"patches": textures(batch, seed=51), "locations": atlas.locations[:batch]}
    (embeddings,) = session.run(None, feed)
    return np.asarray(embeddings)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [1, 3])
def test_each_form_computes_what_the_reference_computes(
    form: FormName, batch: int, weights: EncoderWeights, atlas: Atlas
) -> None:
    expected = reference.embed(weights, textures(batch, seed=51), atlas.locations[:batch])
    np.testing.assert_allclose(_run(weights, form, atlas, batch=batch), expected, atol=5e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rep_dim", "n_experts"), [(1, 1), (50, 3), (300, 5)])
def test_any_width_and_any_number_of_experts_can_be_served(
    form: FormName, rep_dim: int, n_experts: int, atlas: Atlas
) -> None:
    config = EncoderConfig(rep_dim=rep_dim, num_experts=n_experts)
    drawn = initialise(config, seed=61)
    weights = calibrate(drawn, textures(3, seed=62), atlas.locations[:3])
    found = _run(weights, form, atlas, batch=2)
    assert found.shape == (2, rep_dim)
    expected = reference.embed(weights, textures(2, seed=51), atlas.locations[:2])
    np.testing.assert_allclose(found, expected, atol=5e-5)


@pytest.mark.parametrize(
    ("slices_in", "slices_out", "stride"), [(1, 1, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2), (2, 1, 2)]
)
def test_the_taps_between_slabs_are_those_of_a_convolution_in_depth(
    slices_in: int, slices_out: int, stride: int
) -> None:
    ratio = stride * slices_out // slices_in
    kernel = np.array([2.0, 3.0, 5.0, 0.0])  # the last one for "no tap"
    line = np.random.default_rng(1).normal(size=16)
    expected = np.convolve(np.pad(line, 1), kernel[2::-1], mode="valid")[::stride]
    found = np.zeros_like(expected)
    for slab in range(len(expected) // slices_out):
        for offset in (-1, 0, 1):
            first = (ratio * slab + offset) * slices_in
            between = slabs.taps(slices_in, slices_out, offset=offset, stride=stride)
            for (q, p), tap in np.ndenumerate(between):
                if 0 <= first + p < len(line):
                    found[slab * slices_out + q] += kernel[tap] * line[first + p]
    np.testing.assert_allclose(found, expected)


def test_the_last_layer_keeps_the_eight_taps_that_touch_its_image(weights: EncoderWeights) -> None:
    model = graph.build(weights, batch=2)
    (matrix,) = [tensor for tensor in model.graph.initializer if tensor.name == "conv4.dense"]
    last = layers(weights.config)[-1]
    assert list(matrix.dims) == [8 * last.in_channels, weights.config.num_experts * last.out_channels]


def test_elu_written_with_an_exponential_is_elu(weights: EncoderWeights, atlas: Atlas) -> None:
    plan = graph.Plan("grouped", "operator")
    model = graph.build(weights, batch=2, plan=plan).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {"patches": textures(2, seed=51), "locations": atlas.locations[:2]}
    (with_operator,) = session.run(None, feed)
    np.testing.assert_allclose(with_operator, _run(weights, "grouped", atlas, batch=2), atol=5e-6)
