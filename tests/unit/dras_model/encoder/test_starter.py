"""Packing weights in float16 and making a bundle of them, on a small encoder."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dras_model.encoder import starter
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Trained
from dras_model.encoder.runtime import Encoder, distance
from dras_model.encoder.starter import create_starter, pack, packed
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

TRAINED = Trained(data="12 phantoms", epochs=2.0, seed=3, recipe="smoke", steps=24, subjects=12)


@pytest.fixture(scope="module")
def exact(weights: EncoderWeights, atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle as it was trained."""
    place = tmp_path_factory.mktemp("exact") / "exact"
    return create_bundle(place, weights, atlas, name="exact", training=TRAINED, licence="MIT", batch=4)


@pytest.fixture(scope="module")
def folder(exact: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("packed") / "weights"
    pack(exact, place)
    return place


@pytest.fixture(scope="module")
def made(folder: Path, atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("made") / "made"
    return create_starter(place, packed(folder), atlas, folder=folder)


def test_the_weights_of_the_bundle_are_the_float16_ones_to_the_bit(
    exact: Bundle, made: Bundle, folder: Path
) -> None:
    stored = load_file(folder / f"{starter.NAME}.safetensors")
    before, after = exact.weights(), made.weights()
    assert before is not None
    assert after is not None
    for name, array in after.parameters.items():
        np.testing.assert_array_equal(array, stored[name].astype(np.float32))
        is_kernel = array.ndim == 6
        assert stored[name].dtype == (np.float16 if is_kernel else np.float32)
        np.testing.assert_allclose(
            array, before.parameters[name], rtol=2.0**-11 if is_kernel else 0, atol=6e-8
        )


def test_embeddings_change_by_no_more_than_is_told(exact: Bundle, made: Bundle, folder: Path) -> None:
    told = packed(folder).rounding
    golden = exact.golden
    served = Encoder.open(made).encode(golden.patches, golden.locations)
    difference, cosine = distance(served, golden.embeddings)
    assert difference == pytest.approx(told.max_difference, abs=2e-4)  # of float32 against float64
    assert cosine >= told.min_cosine - 1e-6 >= starter.LEAST_COSINE - 1e-6


def test_the_bundle_says_what_it_was_trained_on(made: Bundle) -> None:
    assert made.manifest.name == starter.NAME
    assert made.manifest.training == TRAINED
    assert made.manifest.training.knows_phantoms_only


def test_weights_that_nobody_trained_are_not_packed(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trained here"):
        pack(bundle, tmp_path)


def test_kernels_that_float16_cannot_hold_are_not_packed(
    exact: Bundle, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "LEAST_COSINE", 1.0)
    with pytest.raises(ValueError, match="float16"):
        pack(exact, tmp_path)
    assert not list(tmp_path.iterdir())


def test_damaged_weights_are_refused(folder: Path, atlas: Atlas, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SetupRefused, match="weights of the product") as refused:
        create_starter(tmp_path / "bundle", packed(folder), atlas, folder=tmp_path)
    assert refused.value.code is Code.BUNDLE_INVALID
    with pytest.raises(SetupRefused, match="what is told of them"):
        packed(tmp_path)
