import numpy as np
import pytest
import torch

from dras_training.loading import batches
from dras_training.pretrain import plan


def taken(store, recipe, atlas, *, workers, steps=(3, 12), rank=0, world=1):
    schedule = plan(recipe, store, atlas)
    return list(batches(store, schedule, steps=steps, workers=workers, rank=rank, world=world)), schedule


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_each_batch_is_of_the_location_of_its_step_with_any_number_of_workers(
    store, recipe, few_corners, workers
):
    """In the released code, workers never learn that the location has changed."""
    found, schedule = taken(store, recipe, few_corners, workers=workers)
    assert [batch.key for batch in found] == [schedule.key(step) for step in range(3, 12)]
    assert len({batch.key.location for batch in found}) > 2
    for batch in found:
        places = (batch.key.location, *batch.key.neighbours)
        for row, subject in zip(batch.patches, batch.key.subjects, strict=True):
            for patch, place in zip(row, places, strict=True):
                shard = np.load(store.path / "shard-00000.npy", mmap_mode="r")
                assert np.array_equal(patch.numpy(), shard[place, subject])


def test_processes_share_a_batch_without_overlap_or_gap(store, recipe, few_corners):
    whole, _ = taken(store, recipe, few_corners, workers=0)
    shares = [taken(store, recipe, few_corners, workers=0, rank=rank, world=2)[0] for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch.key == first.key == second.key
        assert torch.equal(torch.cat([first.patches, second.patches]), batch.patches)
