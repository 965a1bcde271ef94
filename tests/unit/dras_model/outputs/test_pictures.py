import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import CORNER, bounding_box
from dras_model.imaging.lungs import AIRWAY
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.outputs.pictures import MARGIN_MM, LungPlanes

SPACING_ZYX_MM = (10.0, 6.0, 4.0)


def _lungs(labels: np.ndarray) -> LabelMap:
    """On a grid that grows to the left, to the front and to the head."""
    affine = np.diag([*SPACING_ZYX_MM, 1.0])[[2, 1, 0, 3]] * np.array([[1], [-1], [1], [1]])
    return LabelMap(labels.astype(np.uint8), Grid(labels.shape, affine))


@pytest.fixture
def blobs() -> LabelMap:
    """Both lungs at random places, and an airway that reaches beyond them."""
    labels = np.zeros((30, 40, 50), dtype=np.uint8)
    labels[2:28, 20, 25] = AIRWAY
    marks = np.random.default_rng(3).choice(
        (0, RIGHT, LEFT, AIRWAY), size=(10, 12, 20), p=(0.7, 0.1, 0.1, 0.1)
    )
    labels[11:21, 9:21, 14:34] = marks
    return _lungs(labels)


@pytest.mark.parametrize("chosen", [(RIGHT,), (LEFT,), (RIGHT, LEFT)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_counted_as_numpy_counts_the_whole_array(
    blobs: LabelMap, axis: int, chosen: tuple[int, ...]
) -> None:
    planes = LungPlanes.of(blobs)
    others = tuple(other for other in range(3) if other != axis)
    expected = np.isin(blobs.labels, chosen).sum(axis=others)
    np.testing.assert_array_equal(planes.along(axis, *chosen), expected)
    assert planes.fullest(axis, *chosen) == expected.argmax()


def test_what_is_shown_is_the_box_of_the_lungs_with_a_margin_and_the_airway_does_not_count(
    blobs: LabelMap,
) -> None:
    planes = LungPlanes.of(blobs)
    both = np.isin(blobs.labels, (RIGHT, LEFT))
    z, y, x = (round(MARGIN_MM / mm) for mm in SPACING_ZYX_MM)
    assert planes.box() == bounding_box(both, (z, y, x))
    assert planes.ends() == (11, 20)


def test_a_scan_without_lungs_shows_its_corner() -> None:
    assert LungPlanes.of(_lungs(np.zeros((3, 4, 5)))).box() == CORNER


def test_counts_do_not_overflow_where_a_scan_is_all_lung() -> None:
    planes = LungPlanes.of(_lungs(np.full((2, 300, 300), LEFT)))
    assert planes.along(0).tolist() == [90_000, 90_000]
    assert set(planes.along(1).tolist()) == set(planes.along(2).tolist()) == {600}
