"""Which graph runs where, and the bound way of running it, tried on buffers of the host."""

import dataclasses

import numpy as np
import pytest

from dras_model.encoder import sessions
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.calibration import textures
from dras_model.encoder.manifest import Limit
from dras_model.encoder.runtime import Encoder, limit_on
from dras_model.encoder.sessions import bound_runner, cuda_options, graph_for, host_runner, open_session
from dras_model.imaging.atlas import Atlas


def test_a_processor_of_another_block_width_runs_the_graph_that_runs_anywhere(
    bundle: Bundle, atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = Encoder.open(bundle).encode(textures(5, seed=71), atlas.locations[:5])
    monkeypatch.setattr(sessions, "channel_block", lambda: 8)
    assert graph_for(bundle, "cpu").file == "encoder.onnx"
    anywhere = Encoder.open(bundle)
    assert anywhere.form.form == "grouped"
    np.testing.assert_allclose(anywhere.encode(textures(5, seed=71), atlas.locations[:5]), fast, atol=5e-5)


def test_the_processor_is_asked_for_its_block_width() -> None:
    assert sessions.channel_block() in {1, 4, 8, 16}


def test_each_provider_has_a_graph_of_its_own(bundle: Bundle) -> None:
    assert graph_for(bundle, "cuda").file == "encoder.cuda.onnx"
    assert bundle.manifest.graph_on("cpu").channel_block == 16


def test_bound_buffers_give_the_same_bits_as_arrays_and_outlive_the_next_batch(
    bundle: Bundle, atlas: Atlas
) -> None:
    form = graph_for(bundle, "cpu")
    session = open_session(bundle, form, device="cpu")
    bound = bound_runner(session, form, rep_dim=128, device="cpu")
    host = host_runner(session)
    batches = [(textures(4, seed=seed), atlas.locations[seed : seed + 4]) for seed in (0, 4)]
    found = [bound(*batch) for batch in batches]
    for batch, embeddings in zip(batches, found, strict=True):
        np.testing.assert_array_equal(embeddings, host(*batch))


def test_tf32_and_memory_are_named_to_the_cuda_provider() -> None:
    assert cuda_options(tf32=False)["use_tf32"] == "0"
    assert cuda_options(tf32=True, memory_bytes=5)["use_tf32"] == "1"
    assert cuda_options(tf32=True, memory_bytes=5)["gpu_mem_limit"] == "5"
    assert cuda_options(tf32=False)["cudnn_conv_algo_search"] == "HEURISTIC"


def test_tf32_is_off_unless_asked_for_and_widens_the_limit_on_cuda_alone(bundle: Bundle) -> None:
    exact = bundle.manifest.tolerance
    assert limit_on(bundle, "cuda").max_difference == exact.max_difference
    assert not limit_on(bundle, "cuda").tf32
    assert limit_on(bundle, "cuda", tf32=True).tf32
    assert limit_on(bundle, "cuda", tf32=True).max_difference > 100 * exact.max_difference
    assert limit_on(bundle, "cpu", tf32=True) == exact.on("cpu")


def test_tf32_that_the_manifest_names_can_be_switched_off(bundle: Bundle) -> None:
    named = Limit(max_difference=0.5, min_cosine=0.99, tf32=True)
    tolerance = bundle.manifest.tolerance.model_copy(update={"providers": {"cuda": named}})
    with_tf32 = dataclasses.replace(
        bundle, manifest=bundle.manifest.model_copy(update={"tolerance": tolerance})
    )
    assert limit_on(with_tf32, "cuda") == named
    switched_off = limit_on(with_tf32, "cuda", tf32=False)
    assert (switched_off.tf32, switched_off.max_difference) == (False, tolerance.max_difference)
