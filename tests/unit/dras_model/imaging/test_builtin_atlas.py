import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.builtin_atlas import builtin_atlas, largest_cubes

IDENTITY = "11fd4d9c85290b64e6a78cf5c50b76922f1c77f13685d7b99b000a9ed57a2a0f"


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return builtin_atlas()


def test_the_atlas_never_changes_unnoticed(atlas: Atlas) -> None:
    assert atlas.sha256 == IDENTITY  # weights are bound to it: a change needs a new VERSION


def test_the_grid_is_that_of_the_published_atlas(atlas: Atlas) -> None:
    assert atlas.lungs.grid.shape == (319, 387, 387)
    assert atlas.lungs.grid.spacing_mm == (1.0, 1.0, 1.0)
    assert atlas.orientation == "LAS"


@pytest.mark.parametrize(
    ("label", "litres", "x", "y", "z"),
    [(RIGHT, 3.32, (42, 194), (77, 297), (11, 281)), (LEFT, 3.17, (183, 334), (83, 297), (11, 284))],
)
def test_each_lung_has_about_the_volume_and_the_extent_of_the_published_one(
    atlas: Atlas, label: int, litres: float, x: tuple[int, int], y: tuple[int, int], z: tuple[int, int]
) -> None:
    mask = atlas.lungs.labels == label
    assert np.count_nonzero(mask) / 1e6 == pytest.approx(litres, rel=0.05)
    for axis, extent in enumerate((z, y, x)):
        shown = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        assert (shown[0], shown[-1]) == pytest.approx(extent, abs=8)


def test_the_lungs_are_apart(atlas: Atlas) -> None:
    right, left = atlas.lungs.labels == RIGHT, atlas.lungs.labels == LEFT
    assert not np.any(right[..., :-1] & left[..., 1:])


def test_the_corners_are_the_lattice_cubes_with_most_lung(atlas: Atlas) -> None:
    """Every cube is counted one by one, as the definition says."""
    lung = atlas.lungs.labels > 0
    nz, ny, nx = lung.shape
    counts = {
        (x, y, z): int(lung[z : z + 32, y : y + 32, x : x + 32].sum())
        for x in range(0, nx - 31, 26)
        for y in range(0, ny - 31, 26)
        for z in range(0, nz - 31, 26)
    }
    chosen = [tuple(corner) for corner in atlas.corners.tolist()]
    assert len(chosen) == 581
    assert chosen == sorted(chosen)
    least = min(counts[corner] for corner in chosen)
    assert least >= max(n for corner, n in counts.items() if corner not in set(chosen))
    assert 0.08 < least / 32**3 < 0.12


def test_equal_cubes_are_taken_in_order() -> None:
    assert largest_cubes(np.ones((58, 58, 58), dtype=np.bool_), 3).tolist() == [
        [0, 0, 0],
        [0, 0, 26],
        [0, 26, 0],
    ]
