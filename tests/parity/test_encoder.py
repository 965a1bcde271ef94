"""The encoder against embeddings that the authors' released code gave for its own checkpoint and patches."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dras_model.encoder import reference
from dras_model.encoder.creation import create_imported
from dras_model.encoder.network import EncoderNetwork, SampleLoopConvolution, normalise
from dras_model.encoder.official import ImportedCheckpoint, import_checkpoint
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.volume import Grid, LabelMap

MAX_DIFFERENCE, MIN_COSINE = 1e-4, 0.999999
N_CORNERS = 581


class Published(NamedTuple):
    """24 patches in HU as the authors cut them, their locations, and what the authors' code made of them."""

    patches: NDArray[np.int16]
    locations: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    projections: NDArray[np.float32]


@pytest.fixture(scope="module")
def published(shared: Path) -> Published:
    patches = np.load(shared / "golden" / "patches.npz")
    results = np.load(shared / "golden" / "embeddings.npz")
    chosen = patches["index"]
    hu = patches["patches_hu"].astype(np.int16)
    np.testing.assert_array_equal(hu, patches["patches_hu"])
    locations = results["loc"][chosen].astype(np.float32)
    return Published(hu, locations, results["h"][chosen], results["z"][chosen])


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> ImportedCheckpoint:
    golden = shared / "golden"
    return import_checkpoint(golden / "checkpoint_0001.pth.tar", golden / "configs.json", n_patches=N_CORNERS)


@pytest.fixture(scope="module")
def atlas(shared: Path) -> Atlas:
    """The published corners; the lungs around them do not matter here."""
    corners = np.load(shared / "atlas" / "atlas_patch_loc.npy")
    las = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    lungs = LabelMap(np.zeros((2, 2, 2), dtype=np.uint8), Grid((2, 2, 2), las))
    return Atlas("published", "1", lungs, corners, patch_size=32, patch_step=26, sha256="c" * 64)


def _assert_same(found: NDArray[np.generic], expected: NDArray[np.float32]) -> None:
    assert found.shape == expected.shape
    a, b = found.astype(np.float64), expected.astype(np.float64)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"max|Δ| {np.abs(a - b).max():.1e}, least cosine 1 - {1 - cosines.min():.1e}")  # noqa: T201
    assert np.abs(a - b).max() <= MAX_DIFFERENCE
    assert cosines.min() >= MIN_COSINE


def test_locations_are_the_authors(published: Published, atlas: Atlas, shared: Path) -> None:
    index = np.load(shared / "golden" / "patches.npz")["index"]
    np.testing.assert_allclose(atlas.locations[index], published.locations, atol=1e-7)


def test_the_reference_gives_the_authors_embeddings(
    checkpoint: ImportedCheckpoint, published: Published
) -> None:
    _assert_same(
        reference.embed(checkpoint.weights, published.patches, published.locations), published.embeddings
    )


def test_the_served_bundle_gives_the_authors_embeddings(
    checkpoint: ImportedCheckpoint, atlas: Atlas, published: Published, tmp_path: Path
) -> None:
    bundle = create_imported(tmp_path / "bundle", checkpoint, atlas, name="golden", licence="MIT")
    found = Encoder.open(bundle).encode(published.patches, published.locations)
    _assert_same(found, published.embeddings)


@pytest.mark.parametrize("one_by_one", [False, True], ids=["grouped", "sample by sample"])
def test_the_network_gives_the_authors_embeddings_and_projections(
    checkpoint: ImportedCheckpoint, published: Published, *, one_by_one: bool
) -> None:
    options = {"convolution": SampleLoopConvolution} if one_by_one else {}
    network = EncoderNetwork.from_weights(checkpoint.weights, **options)
    with torch.no_grad():
        encoded = network(
            normalise(torch.from_numpy(published.patches)), torch.from_numpy(published.locations)
        )
    _assert_same(encoded.embedding.numpy(), published.embeddings)
    _assert_same(encoded.projection.numpy(), published.projections)


def test_the_authors_state_dict_loads_into_the_network_as_it_is(
    checkpoint: ImportedCheckpoint, shared: Path
) -> None:
    saved = torch.load(shared / "golden" / "checkpoint_0001.pth.tar", weights_only=True)["state_dict"]
    prefix = "module.encoder_q."
    state = {key.removeprefix(prefix): value for key, value in saved.items() if key.startswith(prefix)}
    network = EncoderNetwork(checkpoint.weights.config)
    network.load_state_dict(state, strict=True)
    for name, array in network.to_weights().parameters.items():
        np.testing.assert_array_equal(array, checkpoint.weights.parameters[name])
