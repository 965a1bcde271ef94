from collections import deque

import pytest
import torch

from dras_training.queues import EMPTY, NOBODY, LocationQueues

LENGTH, WIDTH = 7, 3


def queues(first="none"):
    return LocationQueues(2, LENGTH, WIDTH, first=first, seed=4)


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [7, 1, 6], [5, 10, 2], [1] * 20, [16]])
def test_a_location_keeps_the_last_keys_whatever_the_sizes_of_batches(sizes):
    made, oracle, n = queues(), deque(maxlen=LENGTH), 0
    for size in sizes:
        subjects = torch.arange(n, n + size)
        made.push(1, subjects.float().unsqueeze(1).expand(-1, WIDTH), subjects)
        oracle.extend(subjects.tolist())
        n += size
    kept = made.owners[1][made.owners[1] != EMPTY].tolist()
    assert sorted(kept) == sorted(oracle)
    assert made.keys[1, :, 0][made.owners[1] != EMPTY].tolist() == kept
    assert (made.owners[0] == EMPTY).all()


def test_the_oldest_key_is_the_next_to_go():
    made = queues()
    made.push(0, torch.zeros(LENGTH, WIDTH), torch.arange(LENGTH))
    made.push(0, torch.zeros(2, WIDTH), torch.tensor([100, 101]))
    assert made.owners[0].tolist() == [100, 101, 2, 3, 4, 5, 6]


def test_random_first_keys_are_unit_vectors_of_nobody():
    made = queues("random")
    torch.testing.assert_close(made.keys.norm(dim=2), torch.ones(2, LENGTH))
    assert (made.owners == NOBODY).all()
    assert not made.left_out(0, torch.arange(3), mask_own=True).any()


def test_empty_places_and_the_own_keys_are_left_out():
    made = queues()
    made.push(0, torch.ones(3, WIDTH), torch.tensor([8, 9, 8]))
    marked = made.left_out(0, torch.tensor([8, 1]), mask_own=True)
    assert marked.tolist() == [[True, False, True, *[True] * 4], [False] * 3 + [True] * 4]
    assert made.left_out(0, torch.tensor([8, 1]), mask_own=False).tolist() == [[False] * 3 + [True] * 4] * 2


def test_all_of_a_queue_is_in_its_state():
    made, other = queues("random"), queues("none")
    made.push(1, torch.ones(5, WIDTH), torch.arange(5))
    other.load_state_dict(made.state_dict())
    for name, value in made.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert set(made.state_dict()) == {"keys", "owners", "pointers"}
