import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dras_model.imaging.box import CORNER, bounding_box


@given(
    arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=6)), st.tuples(*[st.integers(0, 3)] * 3)
)
def test_a_box_holds_every_marked_voxel_and_no_plane_more_than_its_margin(
    marked: np.ndarray, margin: tuple[int, int, int]
) -> None:
    box = bounding_box(marked, margin)
    voxels = np.argwhere(marked)
    if len(voxels) == 0:
        assert box is None
        return
    assert box is not None
    for axis, part in enumerate(box):
        assert part.start == max(voxels[:, axis].min() - margin[axis], 0)
        assert part.stop == min(voxels[:, axis].max() + 1 + margin[axis], marked.shape[axis])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8])
def test_a_box_is_that_of_labels_as_of_a_mask(dtype: type) -> None:
    marked = np.zeros((4, 5, 6), dtype)
    marked[1:3, 2, 5] = 1
    assert bounding_box(marked) == (slice(1, 3), slice(2, 3), slice(5, 6))


def test_the_corner_that_stands_for_nothing_lies_in_every_volume() -> None:
    assert np.zeros((1, 1, 1))[CORNER].shape == (1, 1, 1)
