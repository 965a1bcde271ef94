import os

import pytest

from dras_service.worker.draining import Drain, Drained


def test_work_goes_on_while_nobody_says_stop_and_for_the_time_of_grace_after():
    Drain(grace_s=0.0).check()
    drain = Drain(grace_s=3600.0)
    drain.begin()
    drain.check()


def test_work_ends_after_the_time_of_grace_and_a_second_signal_grants_no_more():
    drain = Drain(grace_s=0.0)
    drain.begin()
    drain._grace_s = 3600.0
    drain.begin()
    with pytest.raises(Drained):
        drain.check()


def test_a_child_that_was_there_before_learns_of_it():
    drain = Drain(grace_s=0.0)
    told_read, told_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(told_read, 1)
        try:
            drain.check()
        except Drained:
            os._exit(7)
        os._exit(0)
    drain.begin()
    os.write(told_write, b"x")
    _, status = os.waitpid(pid, 0)
    for descriptor in (told_read, told_write):
        os.close(descriptor)
    assert os.waitstatus_to_exitcode(status) == 7
