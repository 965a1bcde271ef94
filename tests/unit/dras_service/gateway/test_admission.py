import asyncio
from collections import namedtuple

import pytest

from dras_service.gateway import admission
from dras_service.gateway.admission import Admission, Standing
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings

Usage = namedtuple("Usage", "total used free")


class Door:
    """An Admission over a clock and a standing that a test sets."""

    def __init__(self, tmp_path, **limits):
        self.now = 0.0
        self.standing = Standing(0, None)
        self.asked = 0
        self.admission = Admission(
            limits=GatewaySettings(**limits), folder=tmp_path, standing=self._ask, clock=lambda: self.now
        )

    def _ask(self, _tenant):
        self.asked += 1
        return self.standing

    def knock(self, tenant="a", n_bytes=0):
        """Let one upload in and out again; return the code and Retry-After of a refusal."""

        async def enter():
            async with self.admission.upload(tenant, n_bytes=n_bytes):
                pass

        try:
            asyncio.run(enter())
        except ProblemRaised as raised:
            return raised.problem.code, raised.headers.get("Retry-After")
        return None


@pytest.fixture
def door(tmp_path):
    return lambda **limits: Door(tmp_path, **limits)


def test_a_burst_is_let_in_and_then_a_steady_rate(door):
    shut = door(rate_burst=3, rate_per_minute=60)
    assert [shut.knock() for _ in range(4)] == [None, None, None, ("RATE_LIMITED", "1")]
    shut.now += 2.0
    assert [shut.knock() for _ in range(3)] == [None, None, ("RATE_LIMITED", "1")]


def test_a_tenants_rate_is_its_own(door):
    shut = door(rate_burst=1, rate_per_minute=1)
    assert shut.knock("a") is None
    assert shut.knock("a") == ("RATE_LIMITED", "60")
    assert shut.knock("b") is None


def test_the_operators_rate_of_a_tenant_wins(door):
    shut = door(rate_burst=100, rate_per_minute=100)
    shut.standing = Standing(0, 2)
    assert [shut.knock() for _ in range(3)] == [None, None, ("RATE_LIMITED", "30")]


def test_a_full_queue_takes_nothing_until_it_moves(door):
    shut = door(max_queued=10)
    shut.standing = Standing(10, None)
    code, retry_after = shut.knock()
    assert (code, int(retry_after) > 0) == ("QUEUE_FULL", True)
    shut.standing = Standing(9, None)
    shut.now += 2.0
    assert shut.knock() is None


def test_the_queue_is_counted_once_for_many_who_knock_at_once(door):
    shut = door()

    async def rush():
        async def enter():
            async with shut.admission.upload("a", n_bytes=0):
                pass

        await asyncio.gather(*(enter() for _ in range(50)))

    asyncio.run(rush())
    assert shut.asked == 1


def test_more_than_the_limit_at_once_are_told_to_come_back(door):
    shut = door(max_uploads=2)
    codes = []

    async def enter(hold):
        try:
            async with shut.admission.upload("a", n_bytes=0):
                await hold.wait()
        except ProblemRaised as raised:
            codes.append((raised.problem.code, raised.headers["Retry-After"]))

    async def rush():
        hold = asyncio.Event()
        tasks = [asyncio.create_task(enter(hold)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert shut.admission.under_way == 2
        hold.set()
        await asyncio.gather(*tasks)
        assert shut.admission.under_way == 0

    asyncio.run(rush())
    assert codes == [("TOO_BUSY", "1")]


@pytest.mark.parametrize(("n_bytes", "refused"), [(0, False), (400, False), (600, True)])
def test_an_upload_that_would_take_the_disks_reserve_is_refused_before_a_byte_is_read(
    door, monkeypatch, n_bytes, refused
):
    monkeypatch.setattr(admission.shutil, "disk_usage", lambda _: Usage(2000, 500, 1500))
    shut = door(least_free_bytes=1000)
    assert shut.knock(n_bytes=n_bytes) == (("STORAGE_FULL", None) if refused else None)


def test_nobody_comes_in_while_the_gateway_ends_and_who_is_in_is_waited_for(door):
    shut = door()
    seen = []

    async def end():
        async with shut.admission.upload("a", n_bytes=0):
            shut.admission.drain()
            waiting = asyncio.create_task(shut.admission.wait_idle())
            with pytest.raises(ProblemRaised) as raised:
                async with shut.admission.upload("b", n_bytes=0):
                    pass
            seen.append(raised.value.problem.code)
            await asyncio.sleep(0)
            seen.append(waiting.done())
        await waiting

    asyncio.run(end())
    assert seen == ["DRAINING", False]


def test_who_is_refused_is_not_counted_as_under_way(door):
    shut = door(max_queued=1)
    shut.standing = Standing(5, None)
    shut.knock()
    assert shut.admission.under_way == 0
