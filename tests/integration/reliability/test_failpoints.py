"""Every failpoint there is, with kill -9 in a process of its own: nothing lost, done twice, or left over."""

import signal

import pytest

from dras_service.failpoints import POINTS
from integration.reliability import cycle
from integration.reliability.site import context


def go(folder, failpoint=None):
    process = context().Process(target=cycle.run, args=(str(folder), failpoint))
    process.start()
    process.join(120)
    status = process.exitcode
    process.close()
    return status


@pytest.mark.parametrize("name", sorted({point.partition(".")[0] for point in POINTS}))
def test_a_process_killed_there_loses_nothing_and_leaves_nothing_half_done(memory_folder, name):
    """Killed on this side first, then by the same way on the other, then let through."""
    points = sorted((point for point in POINTS if point.startswith(f"{name}.")), key=_is_after)
    assert len(points) == 2
    for point in points:
        assert go(memory_folder, f"{point}:kill") == -signal.SIGKILL, f"nothing comes by {point}"
    assert go(memory_folder) == 0
    cycle.check(memory_folder)


def _is_after(point: str) -> bool:
    return point.endswith((".committed", ".after"))


def test_going_through_twice_changes_nothing(memory_folder):
    for _ in range(2):
        assert go(memory_folder) == 0
        cycle.check(memory_folder)
