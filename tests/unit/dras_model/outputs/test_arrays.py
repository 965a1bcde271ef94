import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.outputs.arrays import feature_map
from dras_model.outputs.features import Features, Lattice

STEP = 26
# (x, y, z); the lattice has 2 x 2 x 3 places, of which five are taken, in no order.
PLACES = np.array([[1, 0, 2], [0, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 2]])
CORNERS = np.array([3, 5, 7]) + STEP * PLACES


@pytest.fixture
def lattice() -> Atlas:
    labels = np.zeros((100, 70, 64), dtype=np.uint8)
    labels[:, :, :32], labels[:, :, 32:] = RIGHT, LEFT
    affine = np.array([[0.0, 0, 1, -30], [0, -1, 0, 40], [1, 0, 0, -200], [0, 0, 0, 1]])
    return Atlas.of(LabelMap(labels, Grid(labels.shape, affine)), CORNERS, name="lattice", version="1")


def _embeddings() -> np.ndarray:
    return np.arange(15, dtype=np.float32).reshape(5, 3)


def _map(valid: np.ndarray, atlas: Atlas) -> tuple[np.ndarray, Grid]:
    features = Features(
        embeddings=_embeddings(), corners=atlas.corners, locations=atlas.locations, valid=valid,
        inside=np.ones(5, np.float32), lung_fraction=np.ones(5, np.float32), corner_mm=np.zeros((5, 3)),
        densitometry={}, lattice=Lattice.of(atlas),
    )  # fmt: skip
    return feature_map(features, Lattice.of(atlas))


def test_every_embedding_lies_at_its_place_of_the_lattice(lattice: Atlas) -> None:
    array, _ = _map(np.ones(5, bool), lattice)
    assert array.shape == (3, 2, 2, 3)
    for (x, y, z), embedding in zip(PLACES, _embeddings(), strict=True):
        assert array[z, y, x].tolist() == embedding.tolist()


def test_invalid_patches_and_places_without_a_patch_are_nan(lattice: Atlas) -> None:
    valid = np.array([True, True, False, True, True])
    array, _ = _map(valid, lattice)
    x, y, z = PLACES[2]
    assert np.isnan(array[z, y, x]).all()
    assert np.isfinite(array).all(axis=-1).sum() == 4
    assert np.isnan(array).all(axis=-1).sum() == 12 - 4


def test_no_valid_patch_gives_a_map_of_nan(lattice: Atlas) -> None:
    array, _ = _map(np.zeros(5, bool), lattice)
    assert np.isnan(array).all()


def test_a_voxel_of_the_map_is_as_wide_as_the_step_and_centred_on_its_patch(lattice: Atlas) -> None:
    _, grid = _map(np.ones(5, bool), lattice)
    assert grid.spacing_mm == (26.0, 26.0, 26.0)
    assert grid.orientation == "LAS"
    for x, y, z in PLACES:
        corner = np.array([3, 5, 7]) + STEP * np.array([x, y, z])
        # By hand from the affine above: x grows to the left from -30, y to the front from 40, z up from -200.
        centre = [corner[0] + 15.5 - 30, 40 - (corner[1] + 15.5), corner[2] + 15.5 - 200]
        np.testing.assert_allclose(grid.to_world(np.array([z, y, x])), centre)
