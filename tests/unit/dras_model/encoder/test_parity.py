import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from dras_model.encoder import graph
from dras_model.encoder.bundle import ENCODER, WEIGHTS, Bundle
from dras_model.encoder.parity import GOLDEN_REFERENCE, verify
from dras_model.encoder.weights import EncoderWeights
from dras_model.results.errors import SetupRefused

Spoil = Callable[..., Path]


def test_a_sound_bundle_agrees_with_both_references_on_the_cpu(bundle: Bundle) -> None:
    report = verify(bundle, threads=1)
    assert report.agrees
    assert report.failure == ""
    assert report.n_patches == 8
    on_cpu = [row for row in report.compared if row.provider == "cpu"]
    assert {row.graph for row in on_cpu} == {
        form.file for form in (bundle.manifest.graph, bundle.manifest.graph_on("cpu"))
    }
    for file in {row.graph for row in on_cpu}:
        assert [row.reference for row in on_cpu if row.graph == file] == list(report.references)
    assert report.references[0] == GOLDEN_REFERENCE
    assert f"PyTorch {torch.__version__.partition('+')[0]}" in report.references[1]
    for row in on_cpu:
        assert (row.output, row.verdict) == ("embeddings", "agrees")
        assert row.max_difference < 5e-5
        assert row.min_cosine > 0.999999


def test_a_provider_that_is_not_here_is_named_and_is_no_mismatch(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    report = verify(bundle, threads=1)
    assert {absent.provider for absent in report.not_run} == {"cuda"}
    assert "onnxruntime-gpu" in report.not_run[0].reason
    assert report.not_run[0].limit.tf32 is False
    assert report.agrees
    only = verify(bundle, devices=("cuda",))
    assert not only.agrees
    assert only.failure == "no execution provider of its graphs is installed"


def test_without_pytorch_the_reference_is_numpys_and_is_named_so(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    report = verify(bundle, devices=("cpu",), threads=1)
    assert report.references[1] == "weights of the bundle (NumPy, float64)"
    assert report.agrees
    assert report.compared[1].max_difference < 5e-5


def test_a_graph_of_other_weights_differs_from_both_references_and_the_report_says_by_how_much(
    weights: EncoderWeights, spoil: Spoil
) -> None:
    moved = weights.replaced({"bn4.bias": weights.parameters["bn4.bias"] + np.float32(0.01)})
    path = spoil({ENCODER: graph.build(moved, batch=4).SerializeToString()})
    report = verify(Bundle.load(path), devices=("cpu",), threads=1)
    anywhere = [row for row in report.compared if row.graph == ENCODER]
    assert [row.verdict for row in anywhere] == ["differs", "differs"]
    assert anywhere[0].max_difference == pytest.approx(0.01, rel=0.01)
    assert all(row.verdict == "agrees" for row in report.compared if row.graph != ENCODER)
    assert report.failure.startswith(
        f"encoder.onnx on cpu differs from the {GOLDEN_REFERENCE}: max|Δ| 1.0e-02"
    )


def test_weights_that_are_not_those_of_the_graph_are_noticed(weights: EncoderWeights, spoil: Spoil) -> None:
    moved = weights.replaced({"bn4.bias": weights.parameters["bn4.bias"] + np.float32(0.01)})
    report = verify(Bundle.load(spoil({WEIGHTS: moved.to_bytes()})), devices=("cpu",), threads=1)
    for row in report.compared:
        assert row.verdict == ("agrees" if row.reference == GOLDEN_REFERENCE else "differs")


def test_a_graph_that_gives_no_numbers_differs(weights: EncoderWeights, spoil: Spoil) -> None:
    model = graph.build(weights, batch=4)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "conv1.bias")
    bias.raw_data = np.full(32, np.nan, np.float32).tobytes()
    report = verify(Bundle.load(spoil({ENCODER: model.SerializeToString()})), devices=("cpu",), threads=1)
    assert not report.agrees
    row = next(row for row in report.compared if row.graph == ENCODER)
    assert row.max_difference is None
    assert row.reason


def test_a_graph_that_does_not_load_differs_and_says_why(bundle: Bundle, spoil: Spoil) -> None:
    model = onnx.ModelProto.FromString(bundle.read(ENCODER))
    model.graph.node[0].op_type = "NoSuchOperator"
    report = verify(Bundle.load(spoil({ENCODER: model.SerializeToString()})), devices=("cpu",))
    assert not report.agrees
    assert "ONNX Runtime does not load" in report.failure


def test_weights_that_cannot_be_read_are_a_refusal(spoil: Spoil) -> None:
    with pytest.raises(SetupRefused, match=r"weights\.safetensors"):
        verify(Bundle.load(spoil({WEIGHTS: b"nothing"})), devices=("cpu",))


def test_a_graph_for_other_kernels_than_this_processors_is_named_as_not_run(
    bundle: Bundle, spoil: Spoil
) -> None:
    form = bundle.manifest.graph.model_copy(update={"file": "other.onnx", "channel_block": 3})
    files = {"other.onnx": bundle.read(ENCODER)}
    path = spoil(files, provider_graphs={"cpu": form.model_dump()})
    report = verify(Bundle.load(path), devices=("cpu",), threads=1)
    assert [absent.graph for absent in report.not_run] == ["other.onnx"]
    assert "kernels" in report.not_run[0].reason
    assert report.agrees
