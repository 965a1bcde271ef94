import hashlib
import json

import pytest
from sqlalchemy import delete, text, update

from dras_service.store.audit import FIRST_HASH
from dras_service.store.schema import audit, audit_head

N = 6


@pytest.fixture
def log(store):
    for number in range(N):
        store.audit.append(
            "study.submit",
            f"job {number}",
            tenant="default",
            actor="key:1",
            outcome="success",
            detail={"n": number},
        )
    return store.audit


def execute(store, statement):
    with store.numbers._database.engine.begin() as connection:
        connection.execute(statement)


def test_a_log_that_nobody_touched_is_whole(log):
    assert log.first_broken() is None
    assert [entry.seq for entry in log.after(0)] == list(range(1, N + 1))


def test_each_entry_carries_the_hash_of_the_one_before_and_its_own_can_be_computed_by_anybody(log):
    previous = FIRST_HASH
    for entry in log.after(0):
        fields = [entry.seq, entry.at, entry.tenant, entry.actor, entry.action, entry.object, entry.outcome]
        said = json.dumps([*fields, entry.detail, previous])
        assert entry.previous_hash == previous
        assert entry.hash == hashlib.sha256(said.encode()).hexdigest()
        previous = entry.hash


CHANGES = {
    "at": 1.0,
    "tenant": "other",
    "actor": "key:2",
    "action": "job.purge",
    "object": "job 9",
    "outcome": "denied",
    "detail": "{}",
    "hash": "f" * 64,
    "previous_hash": "e" * 64,
}


def test_a_change_of_any_column_of_any_row_is_found(store, log):
    for entry in log.after(0):
        for column, value in CHANGES.items():
            row = update(audit).where(audit.c.seq == entry.seq)
            execute(store, row.values({column: value}))
            assert log.first_broken() in (entry.seq, entry.seq + 1), (entry.seq, column)
            execute(store, row.values({column: getattr(entry, column)}))
    assert log.first_broken() is None


@pytest.mark.parametrize("seq", [1, 3, N])
def test_a_row_that_was_removed_is_found_the_last_one_included(store, log, seq):
    execute(store, delete(audit).where(audit.c.seq == seq))
    assert log.first_broken() == seq


def test_a_log_that_was_emptied_is_found(store, log):
    execute(store, delete(audit))
    assert log.first_broken() == 1


def test_an_entry_added_by_hand_is_found_even_where_it_is_chained_well(store, log):
    last = log.after(N - 1)[0]
    fields = [N + 1, 1.0, "t", "a", "x", "o", "success", "{}", last.hash]
    values = dict(zip(audit.c.keys(), fields, strict=False))
    values["hash"] = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
    execute(store, audit.insert().values(**values))
    assert log.first_broken() is not None


def test_a_head_that_was_set_back_is_found(store, log):
    execute(store, update(audit_head).values(seq=N - 1))
    assert log.first_broken() is not None


def test_two_rows_that_were_exchanged_are_found(store, log):
    execute(store, text("UPDATE audit SET object = 'job 1' WHERE seq = 1"))
    execute(store, text("UPDATE audit SET object = 'job 0' WHERE seq = 2"))
    assert log.first_broken() == 1
