from dataclasses import replace

import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.outputs.features import Features
from dras_model.outputs.regional_embeddings import regional_embeddings
from dras_model.results.study import Region
from unit.dras_model.outputs.invented import features

WIDTH = 4


def patches_of(atlas: Atlas) -> Features:
    """Random patches on the corners of a real atlas, all of them valid."""
    n = len(atlas.corners)
    random = np.random.default_rng(0)
    return replace(
        features(),
        embeddings=random.normal(size=(n, WIDTH)).astype(np.float32),
        corners=atlas.corners,
        valid=np.ones(n, bool),
        lung_fraction=random.uniform(0.1, 1.0, n).astype(np.float32),
    )


def by_region(given: Features) -> dict[Region, object]:
    return {each.region: each for each in regional_embeddings(given)}


def test_the_whole_is_the_direction_of_the_weighted_mean_of_the_patches_directions(atlas: Atlas) -> None:
    given = patches_of(atlas)
    expected = np.zeros(WIDTH)
    for row, weight in zip(given.embeddings, given.lung_fraction, strict=True):
        expected += float(weight) * row / np.sqrt((row**2).sum())
    found = by_region(given)[Region.WHOLE]
    np.testing.assert_allclose(found.vector, expected / np.linalg.norm(expected), atol=1e-6)
    assert found.n_patches == len(given.valid)
    assert found.vector.dtype == np.float32


def test_every_region_is_of_unit_length_and_the_parts_make_the_whole(atlas: Atlas) -> None:
    found = by_region(patches_of(atlas))
    assert len(found) == 12
    for each in found.values():
        assert np.linalg.norm(each.vector) == pytest.approx(1.0, abs=1e-6)
    counts = {region: each.n_patches for region, each in found.items()}
    n = counts[Region.WHOLE]
    assert counts[Region.RIGHT] + counts[Region.LEFT] == n
    assert counts[Region.APICAL] + counts[Region.MIDDLE] + counts[Region.BASAL] == n
    for side in ("right", "left"):
        assert (
            sum(counts[Region(f"{side}_{third}")] for third in ("apical", "middle", "basal")) == counts[side]
        )


def test_sides_and_thirds_are_those_of_the_atlas_lungs(atlas: Atlas) -> None:
    centres = atlas.corners + atlas.patch_size // 2
    size_xyz = np.array(atlas.lungs.grid.shape[::-1])
    x, y, z = np.minimum(centres, size_xyz - 1).T
    labels = atlas.lungs.labels[z, y, x]
    heights_mm = atlas.lungs.grid.to_world(atlas.corners[:, ::-1])[:, 2]
    given = patches_of(atlas)
    for region, label in ((Region.RIGHT, RIGHT), (Region.LEFT, LEFT)):
        alone = by_region(replace(given, valid=labels == label))
        assert alone[region].n_patches >= 0.97 * (labels == label).sum()
    top = by_region(replace(given, valid=heights_mm >= np.quantile(heights_mm, 0.9)))
    assert set(top) == {
        Region.WHOLE, Region.RIGHT, Region.LEFT, Region.APICAL, Region.RIGHT_APICAL, Region.LEFT_APICAL,
    }  # fmt: skip


def test_what_is_not_valid_changes_nothing_and_a_region_without_a_patch_is_left_out(atlas: Atlas) -> None:
    given = patches_of(atlas)
    right = atlas.corners[:, 0] < np.median(atlas.corners[:, 0])
    spoilt = given.embeddings.copy()
    spoilt[~right] = np.nan
    found = by_region(replace(given, valid=right, embeddings=spoilt))
    assert all(np.isfinite(each.vector).all() for each in found.values())
    assert regional_embeddings(replace(given, valid=np.zeros(len(right), bool))) == ()


def test_an_embedding_of_nothing_has_no_direction(atlas: Atlas) -> None:
    given = patches_of(atlas)
    assert regional_embeddings(replace(given, embeddings=np.zeros_like(given.embeddings))) == ()
