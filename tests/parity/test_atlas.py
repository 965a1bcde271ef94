"""The published atlas, imported, lies where the authors' code puts it."""

from pathlib import Path

import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.atlas_bundle import import_published, load_atlas, save_atlas
from dras_model.imaging.builtin_atlas import builtin_atlas


@pytest.fixture(scope="module")
def published(shared: Path) -> Atlas:
    folder = shared / "atlas"
    return import_published(folder / "atlas_lung_mask.nii.gz", folder / "atlas_patch_loc.npy")


def test_every_corner_lies_where_the_authors_code_puts_it(published: Atlas, shared: Path) -> None:
    with np.load(shared / "golden" / "patches.npz") as golden:
        assert published.corners_lps_mm == pytest.approx(golden["atlas_physical_lps"], abs=1e-4)


def test_the_published_atlas_has_the_figures_of_its_description(published: Atlas) -> None:
    assert published.orientation == "LAS"
    assert published.corners.shape == (581, 3)
    assert published.corners.max(axis=0).tolist() == [312, 286, 286]
    for label, litres in ((RIGHT, 3.32), (LEFT, 3.17)):
        assert np.count_nonzero(published.lungs.labels == label) / 1e6 == pytest.approx(litres, abs=0.005)


def test_the_published_atlas_survives_being_saved(published: Atlas, tmp_path: Path) -> None:
    save_atlas(published, tmp_path / "published")
    assert load_atlas(tmp_path / "published").sha256 == published.sha256


def test_the_built_in_lungs_resemble_the_published_ones(published: Atlas) -> None:
    ours = builtin_atlas().lungs.labels
    for label in (RIGHT, LEFT):
        one, other = ours == label, published.lungs.labels == label
        assert 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)) > 0.9
