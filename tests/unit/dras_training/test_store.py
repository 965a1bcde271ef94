import errno
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.store import CaseRecord, PatchStore, pack_bits, unpack_bits

SLOTS = 2


def cubes(n_locations, seed):
    return np.random.default_rng(seed).integers(-1024, 240, (n_locations, 32, 32, 32), dtype=np.int16)


def put(store, slot):
    store.write(slot, cubes(store.about.n_locations, slot))
    flags = np.arange(store.about.n_locations) != slot
    record = CaseRecord(
        subject=f"s{slot}", status="stored", slot=slot, input_sha256=f"{slot}", valid=pack_bits(flags)
    )
    store.record(record)


@pytest.fixture
def small(tmp_path, few_corners):
    return PatchStore.create(tmp_path / "store", few_corners, slots=SLOTS)


def test_patches_come_back_from_whichever_shard_and_process_wrote_them(small, few_corners):
    for slot in (0, 1, 4, 3):  # two shards full or half, one place of the second never used
        put(small, slot)
    opened = pickle.loads(pickle.dumps(PatchStore.open(small.path, few_corners)))
    assert [record.subject for record in opened.stored] == ["s0", "s1", "s3", "s4"]
    found = opened.read([5, 2], [3, 1, 2])
    for row, slot in zip(found, (4, 1, 3), strict=True):
        assert np.array_equal(row, cubes(6, slot)[[5, 2]])
    assert opened.valid.tolist() == [[place != slot for place in range(6)] for slot in (0, 1, 3, 4)]


def test_a_subject_counts_once_its_line_is_whole(small, few_corners):
    put(small, 0)
    with (small.path / "cases.jsonl").open("ab") as lines:
        lines.write(b'{"subject": "s1", "status": "sto')
    opened = PatchStore.open(small.path, few_corners)
    assert [record.subject for record in opened.records] == ["s0"]
    put(opened, 1)
    assert len(PatchStore.open(small.path, few_corners).records) == 2


def test_scans_of_one_person_are_told_by_the_first_and_belong_to_the_identity_of_a_store(
    few_corners, tmp_path
):
    def filled(name, people):
        store = PatchStore.create(tmp_path / name, few_corners, slots=4)
        for slot, person in enumerate(people):
            store.write(slot, cubes(6, slot))
            valid = pack_bits(np.ones(6, dtype=np.bool_))
            store.record(
                CaseRecord(
                    subject="abcd"[slot],
                    person=person,
                    status="stored",
                    slot=slot,
                    input_sha256=f"{slot}",
                    valid=valid,
                )
            )
        return PatchStore.open(store.path, few_corners)

    named = filled("named", ["x", None, "x", "b"])  # somebody called b is not the subject b
    assert named.people.tolist() == [0, 1, 0, 3]
    alone = filled("alone", [None] * 4)
    assert alone.people.tolist() == [0, 1, 2, 3]
    assert named.sha256 != alone.sha256


def test_a_shard_takes_the_room_of_what_is_written(small):
    small.write(0, cubes(6, 0))
    used = (small.path / "shard-00000.npy").stat().st_blocks * 512
    assert used < 1.2 * 6 * 32**3 * 2 < (small.path / "shard-00000.npy").stat().st_size


def test_a_disk_that_fills_up_in_mid_patch_is_told_and_not_recorded(small, monkeypatch):
    written = 0

    def full(descriptor, content, offset):
        nonlocal written
        if written > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = os.write(descriptor, content[:30_000])  # a disk takes a part first
        written += taken
        return taken

    monkeypatch.setattr("dras_training.store.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        small.write(0, cubes(6, 0))
    assert small.stored == []


def test_another_atlas_is_refused_by_name_of_both(small, few_corners):
    other = replace(few_corners, name="another", sha256="e" * 64)
    for opening in (
        lambda: PatchStore.open(small.path, other),
        lambda: PatchStore.create(small.path, other, slots=1),
    ):
        with pytest.raises(SetupRefused) as refused:
            opening()
        assert refused.value.code is Code.STORE_ATLAS_MISMATCH
        assert "another" in str(refused.value)


@pytest.mark.parametrize(
    "damage", ["none there", "no JSON", "shard gone", "shard cut", "shard of another shape"]
)
def test_a_damaged_store_is_refused(small, few_corners, damage):
    put(small, 0)
    shard = small.path / "shard-00000.npy"
    match damage:
        case "none there":
            (small.path / "store.json").unlink()
        case "no JSON":
            (small.path / "store.json").write_text("{")
        case "shard gone":
            shard.unlink()
        case "shard cut":
            os.truncate(shard, 1000)
        case _:
            np.save(shard, np.zeros(3, dtype=np.int16))
    with pytest.raises(SetupRefused) as refused:
        PatchStore.open(small.path, few_corners).read([0], [0])
    assert refused.value.code is Code.STORE_INVALID


def test_its_identity_is_that_of_what_can_be_read(small, few_corners):
    put(small, 0)
    before = small.sha256
    small.record(CaseRecord(subject="x", status="refused", code="NOT_DICOM", sentence="No."))
    assert PatchStore.open(small.path, few_corners).sha256 == before
    put(small, 1)
    assert small.sha256 != before


def test_flags_survive_as_text():
    flags = np.random.default_rng(0).random(581) < 0.9
    assert np.array_equal(unpack_bits(pack_bits(flags), 581), flags)
