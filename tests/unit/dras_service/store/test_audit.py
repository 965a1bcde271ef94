import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text


def write(store, n_entries=5):
    for number in range(n_entries):
        store.audit.append(
            "job.cancel",
            f"job-{number}",
            tenant="default" if number % 2 else "other",
            actor="key:k1",
            outcome="ok",
            detail={"n": number},
        )


def test_entries_are_numbered_without_a_gap_and_chained_by_their_hashes(store):
    write(store)
    entries = store.audit.after(0)
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    previous = "0" * 64
    for entry in entries:
        fields = [
            entry.seq,
            entry.at,
            entry.tenant,
            entry.actor,
            entry.action,
            entry.object,
            entry.outcome,
            entry.detail,
            previous,
        ]
        assert entry.previous_hash == previous
        assert entry.hash == hashlib.sha256(json.dumps(fields).encode()).hexdigest()
        previous = entry.hash
    assert store.audit.first_broken() is None


def test_a_tenant_reads_its_own_entries_only(store):
    write(store)
    assert [entry.seq for entry in store.audit.after(0, tenant="default")] == [2, 4]
    assert [entry.seq for entry in store.audit.after(2, tenant="default", limit=1)] == [4]


def test_entries_written_at_the_same_time_are_one_chain(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(store, 2), range(8)))
    assert len(store.audit.after(0)) == 16
    assert store.audit.first_broken() is None


@pytest.mark.parametrize(
    ("damage", "found_at"),
    [
        ("UPDATE audit SET outcome = 'refused' WHERE seq = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("UPDATE audit SET hash = 'f' WHERE seq = 5", 5),
    ],
)
def test_an_entry_that_was_changed_or_removed_is_found(store, engine, damage, found_at):
    write(store)
    with engine.begin() as connection:
        connection.execute(text(damage))
    assert store.audit.first_broken() == found_at
