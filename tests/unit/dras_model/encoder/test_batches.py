import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dras_model.encoder.batches import Study, gather, plan, scatter

LENGTHS = st.lists(st.integers(0, 23), max_size=6)


@given(LENGTHS, st.integers(1, 9))
def test_batches_hold_every_row_of_every_study_once_and_only_the_last_is_short(
    lengths: list[int], batch: int
) -> None:
    planned = plan(lengths, batch=batch)
    rows = [
        (piece.study, row)
        for pieces in planned
        for piece in pieces
        for row in range(piece.of_study.start, piece.of_study.stop)
    ]
    assert rows == [(study, row) for study, length in enumerate(lengths) for row in range(length)]
    filled = [sum(piece.of_batch.stop - piece.of_batch.start for piece in pieces) for pieces in planned]
    assert filled[:-1] == [batch] * (len(planned) - 1)
    for pieces in planned:
        assert [row for piece in pieces for row in range(piece.of_batch.start, piece.of_batch.stop)] == list(
            range(sum(piece.of_batch.stop - piece.of_batch.start for piece in pieces))
        )


def test_what_is_gathered_and_scattered_lands_where_it_came_from() -> None:
    numbers = np.arange(7, dtype=np.int16)
    cubes = np.broadcast_to(numbers[:, None, None, None], (7, 32, 32, 32))
    places = np.repeat(numbers[:, None], 3, axis=1).astype(np.float32)
    studies = [Study(cubes[:3], places[:3]), Study(cubes[3:], places[3:])]
    found = [np.full((3, 1), -1, np.float32), np.full((4, 1), -1, np.float32)]
    for pieces in plan([3, 4], batch=4):
        patches, locations = gather(studies, pieces, batch=4)
        assert patches.shape == (4, 32, 32, 32)
        np.testing.assert_array_equal(patches[:, 0, 0, 0], locations[:, 0])
        scatter(locations[:, :1], pieces, found)
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], numbers)


def test_a_study_of_another_shape_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="patches are"):
        Study(np.zeros((2, 32, 32), np.int16), np.zeros((2, 3), np.float32))
