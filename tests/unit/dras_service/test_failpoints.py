import multiprocessing
import signal
import subprocess
import sys

import pytest

from dras_service import failpoints
from dras_service.failpoints import FailpointHit, arm, hit


@pytest.fixture(autouse=True)
def disarmed():
    yield
    arm(None)


def test_nothing_happens_where_nothing_is_armed():
    hit("submit.committed")


def test_an_armed_failpoint_raises_there_and_nowhere_else():
    arm("submit.committed:error")
    hit("submit.uncommitted")
    with pytest.raises(FailpointHit, match=r"submit\.committed"):
        hit("submit.committed")


def test_it_acts_once_at_the_time_it_is_told():
    arm("submit.committed:error@3")
    hit("submit.committed")
    hit("submit.committed")
    with pytest.raises(FailpointHit):
        hit("submit.committed")
    hit("submit.committed")


def test_a_kill_leaves_no_time_for_anything():
    process = multiprocessing.get_context("fork").Process(target=_die)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def _die():
    arm("claim.committed:kill")
    try:
        hit("claim.committed")
    finally:
        raise SystemExit(0)


@pytest.mark.parametrize(
    "text", ["", "submit", "submit.committed", "submit.committed:explode", "no.such:kill"]
)
def test_what_is_not_in_the_registry_cannot_be_armed(text):
    with pytest.raises(ValueError, match="registry"):
        arm(text)


def test_a_place_that_is_not_in_the_registry_is_a_defect():
    arm("submit.committed:error")
    with pytest.raises(ValueError, match="registry"):
        hit("submit.perhaps")


@pytest.mark.parametrize(("value", "status"), [("", 0), ("submit.committed:error", 1), ("nonsense", 1)])
def test_only_the_environment_arms_it(value, status):
    code = "from dras_service.failpoints import hit; hit('submit.committed')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={failpoints.VARIABLE: value}, capture_output=True, check=False
    )
    assert done.returncode == status
