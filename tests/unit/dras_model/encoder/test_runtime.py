import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from dras_model.encoder import graph, reference
from dras_model.encoder.batches import Study
from dras_model.encoder.bundle import ENCODER, GOLDEN, Bundle
from dras_model.encoder.calibration import textures
from dras_model.encoder.golden import Golden
from dras_model.encoder.runtime import Encoder, distance
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Stage

N = 9  # two batches of four and one patch more
ON_CPU = "encoder.cpu.onnx"


@pytest.fixture(scope="module")
def encoder(bundle: Bundle) -> Encoder:
    return Encoder.open(bundle, threads=2)


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return textures(N, seed=41)


@pytest.fixture(scope="module")
def locations(atlas: Atlas) -> np.ndarray:
    return atlas.locations[:N]


def test_embeddings_are_those_of_the_reference(
    encoder: Encoder, weights: EncoderWeights, patches: np.ndarray, locations: np.ndarray
) -> None:
    expected = reference.embed(weights, patches, locations)
    found = encoder.encode(patches, locations)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-5)


def test_two_runs_and_two_sessions_give_the_same_bits(
    encoder: Encoder, bundle: Bundle, patches: np.ndarray, locations: np.ndarray
) -> None:
    first = encoder.encode(patches, locations)
    np.testing.assert_array_equal(first, encoder.encode(patches, locations))
    np.testing.assert_array_equal(first, Encoder.open(bundle, threads=2).encode(patches, locations))


def test_an_embedding_does_not_depend_on_what_else_is_in_the_batch(
    encoder: Encoder, patches: np.ndarray, locations: np.ndarray
) -> None:
    whole = encoder.encode(patches, locations)
    strange = np.random.default_rng(2).integers(-1024, 3000, patches.shape, dtype=np.int16)
    strange[1] = patches[1]
    np.testing.assert_array_equal(encoder.encode(strange, locations)[1], whole[1])
    np.testing.assert_array_equal(encoder.encode(patches[:2], locations[:2]), whole[:2])
    order = np.random.default_rng(3).permutation(N)
    moved = encoder.encode(patches[order], locations[order])
    np.testing.assert_allclose(moved, whole[order], atol=2e-6)


def test_studies_that_share_batches_get_what_each_gets_alone(
    encoder: Encoder, patches: np.ndarray, locations: np.ndarray
) -> None:
    parts = [slice(0, 3), slice(3, 3), slice(3, 4), slice(4, 9)]
    together = encoder.encode_many([Study(patches[part], locations[part]) for part in parts])
    for part, found in zip(parts, together, strict=True):
        alone = encoder.encode(patches[part], locations[part])
        assert found.shape == alone.shape
        np.testing.assert_allclose(found, alone, atol=2e-6)


def test_the_number_of_threads_changes_no_bit(
    encoder: Encoder, bundle: Bundle, patches: np.ndarray, locations: np.ndarray
) -> None:
    alone = Encoder.open(bundle, threads=1).encode(patches, locations)
    np.testing.assert_array_equal(encoder.encode(patches, locations), alone)


def test_a_listener_that_raises_ends_the_work(
    encoder: Encoder, patches: np.ndarray, locations: np.ndarray
) -> None:
    def stop(stage: Stage, fraction: float) -> None:
        raise InterruptedError(stage, fraction)

    with pytest.raises(InterruptedError):
        encoder.encode(patches, locations, report=stop)


def test_no_patches_give_no_embeddings(encoder: Encoder) -> None:
    found = encoder.encode(np.empty((0, 32, 32, 32), np.int16), np.empty((0, 3), np.float32))
    assert found.shape == (0, 128)


def test_progress_rises_batch_by_batch_to_one(
    encoder: Encoder, patches: np.ndarray, locations: np.ndarray
) -> None:
    heard: list[tuple[Stage, float]] = []
    encoder.encode(patches, locations, report=lambda stage, fraction: heard.append((stage, fraction)))
    assert heard == [(Stage.ENCODE, 4 / 9), (Stage.ENCODE, 8 / 9), (Stage.ENCODE, 1.0)]


@pytest.mark.parametrize(
    ("shape", "dtype", "n_locations"),
    [((2, 32, 32, 32), np.float32, 2), ((2, 32, 32, 31), np.int16, 2), ((2, 32, 32, 32), np.int16, 3)],
)
def test_arrays_of_another_shape_or_type_are_a_value_error(
    encoder: Encoder, shape: tuple[int, ...], dtype: type, n_locations: int
) -> None:
    with pytest.raises(ValueError, match="found"):
        encoder.encode(np.zeros(shape, dtype), np.zeros((n_locations, 3), np.float32))


def test_the_device_and_the_weights_are_told(encoder: Encoder, bundle: Bundle) -> None:
    assert encoder.device == "cpu, 2 threads"
    assert encoder.bundle.provenance.training == "untrained"
    assert encoder.bundle.provenance.encoder_sha256 == bundle.manifest.files[ENCODER]


def test_a_graph_that_misses_its_golden_vectors_is_refused(
    bundle: Bundle, spoil: Callable[..., Path]
) -> None:
    golden = bundle.golden
    moved = golden.embeddings.copy()
    moved[3, 7] += 1e-3
    path = spoil({GOLDEN: Golden(golden.patches, golden.locations, moved).to_bytes()})
    with pytest.raises(SetupRefused, match=r"differs from the golden embeddings by 1.0e-03") as refusal:
        Encoder.open(Bundle.load(path))
    assert refusal.value.code is Code.BUNDLE_INVALID


def test_a_graph_that_gives_no_numbers_is_refused(
    bundle: Bundle, weights: EncoderWeights, spoil: Callable[..., Path]
) -> None:
    model = graph.build(weights, form="blocked", batch=4)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "conv1.bias")
    bias.raw_data = np.full(len(bias.raw_data) // 4, np.nan, np.float32).tobytes()
    with pytest.raises(SetupRefused, match="differs from the golden embeddings by nan"):
        Encoder.open(Bundle.load(spoil({ON_CPU: model.SerializeToString()})))


def test_a_graph_with_other_inputs_than_the_manifest_says_is_refused(
    weights: EncoderWeights, spoil: Callable[..., Path]
) -> None:
    path = spoil({ON_CPU: graph.build(weights, batch=2).SerializeToString()})
    with pytest.raises(SetupRefused, match="does not map patches and locations to embeddings"):
        Encoder.open(Bundle.load(path))


def test_a_graph_that_onnx_runtime_rejects_is_refused(bundle: Bundle, spoil: Callable[..., Path]) -> None:
    model = onnx.load_model(io.BytesIO(bundle.read(ON_CPU)))
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(SetupRefused, match=r"ONNX Runtime does not load encoder\.cpu\.onnx"):
        Encoder.open(Bundle.load(spoil({ON_CPU: model.SerializeToString()})))


def test_a_file_that_changes_after_loading_is_refused(spoil: Callable[..., Path]) -> None:
    bundle = Bundle.load(spoil())
    (bundle.path / ON_CPU).write_bytes(b"another graph")
    with pytest.raises(SetupRefused, match=r"encoder.cpu.onnx has another SHA-256"):
        Encoder.open(bundle)


def test_a_missing_runtime_names_the_extra_that_brings_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SetupRefused, match=r"dras\[cpu\]") as refusal:
        Encoder.open(bundle)
    assert refusal.value.code is Code.MISSING_EXTRA


def test_cuda_is_refused_where_the_runtime_lacks_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SetupRefused, match=r"dras\[gpu\]") as refusal:
        Encoder.open(bundle, device="cuda")
    assert refusal.value.code is Code.MISSING_EXTRA


def test_onnx_runtime_is_told_not_to_report_to_its_makers(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    Encoder.open(bundle)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_distance_is_that_of_a_slow_loop() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.normal(size=(2, 5, 3))
    largest, least = 0.0, 1.0
    for row, other in zip(a, b, strict=True):
        largest = max(largest, *(abs(x - y) for x, y in zip(row, other, strict=True)))
        dot = sum(x * y for x, y in zip(row, other, strict=True))
        least = min(least, dot / (sum(x * x for x in row) * sum(y * y for y in other)) ** 0.5)
    assert distance(a, b) == pytest.approx((largest, least))
