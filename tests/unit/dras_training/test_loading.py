import numpy as np
import pytest
import torch

from dras_training.loading import batches
from dras_training.pretrain import plan
from dras_training.store import PatchStore
from unit.dras_training.conftest import N_SUBJECTS, changed, fill


def taken(store, recipe, atlas, *, workers, steps=(3, 12), rank=0, world=1):
    schedule = plan(recipe, store, atlas)
    return list(batches(store, schedule, steps=steps, workers=workers, rank=rank, world=world)), schedule


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
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


def test_the_key_s_patches_are_those_of_its_scans(few_corners, recipe, tmp_path):
    twice = fill(PatchStore.create(tmp_path / "store", few_corners, slots=N_SUBJECTS))
    twice.records = [r.model_copy(update={"person": f"{(r.slot or 0) // 2}"}) for r in twice.records]
    asked = changed(recipe, contrast={"other_scan": 1.0}, optimisation={"batch": 4})
    found, _ = taken(twice, asked, few_corners, workers=0)
    for batch in found:
        assert batch.key.keys == tuple(subject ^ 1 for subject in batch.key.subjects)
        for keys, subjects in ((batch.key.keys, batch.centres), (batch.key.subjects, batch.patches[:, 0])):
            assert np.array_equal(subjects, twice.read((batch.key.location,), keys)[:, 0])


def test_processes_share_a_batch_without_overlap_or_gap(store, recipe, few_corners):
    whole, _ = taken(store, recipe, few_corners, workers=0)
    shares = [taken(store, recipe, few_corners, workers=0, rank=rank, world=2)[0] for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch.key == first.key == second.key
        assert torch.equal(torch.cat([first.patches, second.patches]), batch.patches)
        assert torch.equal(torch.cat([first.centres, second.centres]), batch.centres)
