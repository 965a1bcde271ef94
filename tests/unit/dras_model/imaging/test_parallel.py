import numpy as np
import pytest

from dras_model.imaging.parallel import available_cores, each_slab


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_slabs_cover_every_row_once(size: int) -> None:
    hits = np.zeros(size, dtype=int)

    def count(slab: slice) -> None:
        hits[slab] += 1

    each_slab(count, size)
    assert (hits == 1).all()


def test_a_fault_in_a_slab_is_not_swallowed() -> None:
    def fail(slab: slice) -> None:
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        each_slab(fail, 10)


def test_there_is_at_least_one_core() -> None:
    assert available_cores() >= 1
