import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas, AtlasError, identity
from dras_model.imaging.volume import Grid, LabelMap

AFFINE_LAS = np.array([[0.0, 0, 1, -20], [0, -1, 0, 20], [1, 0, 0, 0], [0, 0, 0, 1]])
CORNERS = np.array([[0, 2, 4], [8, 4, 2]])


def lungs(affine: np.ndarray = AFFINE_LAS) -> LabelMap:
    labels = np.zeros((20, 30, 40), dtype=np.uint8)
    labels[5:15, 5:20, 4:16] = RIGHT
    labels[5:15, 5:20, 24:36] = LEFT
    return LabelMap(labels, Grid(labels.shape, affine))


def make(corners: np.ndarray = CORNERS, mask: LabelMap | None = None) -> Atlas:
    return Atlas.of(mask or lungs(), corners, name="test", version="1")


def test_locations_run_from_minus_one_to_one_per_axis() -> None:
    assert make().locations.tolist() == [[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]


def test_corners_are_voxels_in_x_y_z_of_a_grid_in_z_y_x() -> None:
    atlas = make()
    assert atlas.orientation == "LAS"
    assert atlas.corners_lps_mm.tolist() == [[-20.0, 18.0, 4.0], [-12.0, 16.0, 2.0]]


def test_identity_follows_voxels_geometry_and_corners_and_nothing_else() -> None:
    one, same = make(), Atlas.of(lungs(), CORNERS.astype(np.int32), name="other", version="2")
    assert one.sha256 == same.sha256
    moved = AFFINE_LAS.copy()
    moved[0, 3] += 0.01
    shaved = lungs()
    shaved.labels[5, 5, 4] = 0
    others = {make(mask=lungs(moved)).sha256, make(mask=shaved).sha256, make(CORNERS[::-1]).sha256}
    assert len(others | {one.sha256}) == 4


def test_identity_survives_rounding_of_the_geometry_to_single_precision() -> None:
    rounded = (AFFINE_LAS + 0.1).astype(np.float32).astype(np.float64)
    exact = AFFINE_LAS + 0.1
    grids = [
        Grid((20, 30, 40), np.vstack([a[:3] - [0.1, 0.1, 0.1, 0], [0, 0, 0, 1]])) for a in (rounded, exact)
    ]
    one, other = (identity(LabelMap(lungs().labels, grid), CORNERS) for grid in grids)
    assert one == other


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        (np.zeros((0, 3), dtype=int), "form an array"),
        (np.array([1, 2, 3]), "form an array"),
        (np.array([[1, 2]]), "form an array"),
        (np.array([[1.0, 2.0, 3.0]]), "integer"),
        (np.array([[1, 2, 40], [1, 2, 3]]), "1 of 2 corners lie outside"),
        (np.array([[-1, 2, 4]]), "outside"),
        (np.array([[1, 2, 3], [1, 2, 3], [4, 5, 6]]), "1 of 3 corners repeat"),
        (np.array([[1, 2, 0], [2, 3, 0]]), "every axis"),
    ],
)
def test_corners_that_are_no_distinct_voxels_of_the_mask_are_an_error(
    corners: np.ndarray, reason: str
) -> None:
    with pytest.raises(AtlasError, match=reason):
        make(corners)


def test_a_mask_without_both_lungs_is_an_error() -> None:
    mask = lungs()
    mask.labels[mask.labels == LEFT] = 0
    with pytest.raises(AtlasError, match="lacks"):
        make(mask=mask)


def test_a_mask_with_a_third_label_is_an_error() -> None:
    mask = lungs()
    mask.labels[0, 0, 0] = 7
    with pytest.raises(AtlasError, match="up to 7"):
        make(mask=mask)


@pytest.mark.parametrize("orientation", ["LPS", "LAI", "LSA", "RAS"])
def test_an_atlas_whose_axes_grow_elsewhere_is_an_error(orientation: str) -> None:
    turned = lungs().oriented(orientation)
    with pytest.raises(AtlasError, match=f"grow to {orientation}, not to LAS"):
        make(mask=turned)


def test_lungs_on_the_wrong_side_are_an_error() -> None:
    mirrored = AFFINE_LAS.copy()
    mirrored[0, 2] = -1
    with pytest.raises(AtlasError, match="mirrored"):
        make(mask=lungs(mirrored))
