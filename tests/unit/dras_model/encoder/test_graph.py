import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dras_model.encoder import graph, reference
from dras_model.encoder.calibration import textures
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas

BATCH = 3


@pytest.fixture(scope="module")
def model(weights: EncoderWeights) -> onnx.ModelProto:
    return graph.build(weights, batch=BATCH)


def _run(model: onnx.ModelProto, patches: np.ndarray, locations: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(None, {"patches": patches, "locations": locations})
    return np.asarray(embeddings)


def test_the_graph_is_valid_onnx_of_a_conservative_version(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 13
    assert model.ir_version == 8


def test_the_graph_computes_what_the_reference_computes(
    model: onnx.ModelProto, weights: EncoderWeights, atlas: Atlas
) -> None:
    patches, locations = textures(BATCH, seed=31), atlas.locations[:BATCH]
    expected = reference.embed(weights, patches, locations)
    np.testing.assert_allclose(_run(model, patches, locations), expected, atol=5e-5)


def test_values_outside_the_window_count_as_its_ends(model: onnx.ModelProto, atlas: Atlas) -> None:
    patches = np.random.default_rng(1).integers(-32768, 32767, (BATCH, 32, 32, 32), dtype=np.int16)
    locations = atlas.locations[:BATCH]
    clipped = np.clip(patches, -1024, 240)
    np.testing.assert_array_equal(_run(model, patches, locations), _run(model, clipped, locations))


def test_a_model_is_self_contained_only_without_external_tensors_however_deep() -> None:
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    outside.data_location = TensorProto.EXTERNAL
    inside = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])

    def serialised(tensor: TensorProto) -> bytes:
        constant = helper.make_node("Constant", [], ["c"], value=tensor)
        branch = helper.make_graph([constant], "branch", [], [])
        choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        model = helper.make_model(helper.make_graph([choice], "g", [], []))
        return bytes(model.SerializeToString())

    assert graph.is_self_contained(serialised(inside))
    assert not graph.is_self_contained(serialised(outside))
    assert not graph.is_self_contained(b"\xff\xff no protobuf")
