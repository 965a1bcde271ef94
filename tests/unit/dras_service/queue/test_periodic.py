import threading

import pytest

from dras_service.queue.periodic import Periodic
from dras_service.store.errors import StoreUnavailable

WITHIN_S = 20.0


@pytest.mark.parametrize("fault", [None, StoreUnavailable("away"), OSError("disk"), ValueError("defect")])
def test_it_goes_on_until_it_is_stopped_whatever_the_work_meets(fault):
    calls, enough = [], threading.Event()

    def work():
        calls.append(1)
        if len(calls) == 3:
            enough.set()
        if fault is not None:
            raise fault

    thread = Periodic("work", work, interval_s=0.001)
    thread.start()
    assert enough.wait(WITHIN_S)
    thread.stop()
    n_calls = len(calls)
    assert not thread._thread.is_alive()
    assert len(calls) == n_calls


def test_it_works_sooner_when_it_is_woken():
    calls, called = [], threading.Event()

    def work():
        calls.append(1)
        called.set()

    thread = Periodic("work", work, interval_s=3600.0)
    thread.start()
    assert called.wait(WITHIN_S)
    called.clear()
    thread.wake()
    assert called.wait(WITHIN_S)
    thread.stop()
    assert len(calls) == 2
