from itertools import pairwise

import pytest

from dras_service.queue.hints import BrokerUnreachable
from dras_service.queue.publisher import HOLD_S, Publisher
from unit.dras_service.examples import submit


class Broker:
    """Takes as many messages as a test says, then none."""

    def __init__(self, takes=1_000_000):
        self.takes = takes
        self.sent = []

    def send(self, job_id, _queue):
        if len(self.sent) >= self.takes:
            raise BrokerUnreachable("away")
        self.sent.append(job_id)


def test_what_was_submitted_is_sent_once(store):
    jobs = [submit(store).id for _ in range(250)]
    broker = Broker()
    publisher = Publisher(store.outbox, broker.send)
    assert publisher.run_once() == 250
    assert publisher.run_once() == 0
    assert sorted(broker.sent) == sorted(jobs)


def test_what_a_broker_does_not_take_is_sent_when_it_is_back(store, clock):
    jobs = [submit(store).id for _ in range(5)]
    broker = Broker(takes=2)
    publisher = Publisher(store.outbox, broker.send, clock=clock)
    assert publisher.run_once() == 2
    broker.takes = 100
    clock.now += 1
    assert publisher.run_once() == 3
    assert sorted(broker.sent) == sorted(jobs)


def test_a_broker_that_stays_away_is_asked_ever_more_rarely_however_much_is_uploaded(store, clock):
    asked_at = []

    def refuse(_job_id, _queue):
        asked_at.append(clock.now)
        raise BrokerUnreachable("away")

    publisher = Publisher(store.outbox, refuse, clock=clock)
    for _ in range(60):
        submit(store)
        publisher.run_once()
        clock.now += 1
    waits = [later - earlier for earlier, later in pairwise(asked_at)]
    assert waits[:4] == [1, 2, 4, 8]
    assert set(waits[4:]) == {10}
    broker = Broker()
    publisher._send = broker.send
    clock.now += 10
    assert publisher.run_once() == 60


def test_a_publisher_that_dies_in_mid_work_leaves_its_hints_to_others(store, clock):
    job = submit(store)
    store.outbox.take("hint", hold_s=HOLD_S)
    broker = Broker()
    other = Publisher(store.outbox, broker.send)
    assert other.run_once() == 0
    clock.now += HOLD_S
    assert other.run_once() == 1
    assert broker.sent == [job.id]


def test_what_was_sent_before_a_defect_is_not_sent_again(store, clock):
    for _ in range(3):
        submit(store)
    sent = []

    def fail_at_third(job_id, _queue):
        if len(sent) == 2:
            raise RuntimeError
        sent.append(job_id)

    with pytest.raises(RuntimeError):
        Publisher(store.outbox, fail_at_third).run_once()
    clock.now += HOLD_S
    broker = Broker()
    assert Publisher(store.outbox, broker.send).run_once() == 1
    assert not set(broker.sent) & set(sent)
