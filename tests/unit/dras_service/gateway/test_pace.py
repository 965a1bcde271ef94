import asyncio

import pytest
from starlette.requests import ClientDisconnect

from dras_service.gateway import pace
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings


class Clock:
    """Time that passes only when a chunk is waited for."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now)

    async def chunks(self, *rows):
        for wait_s, content in rows:
            self.now += wait_s
            yield content


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def run(chunks, **limits):
    async def collect():
        return [block async for block in pace.paced(chunks, GatewaySettings(**limits))]

    return asyncio.run(collect())


def fault_of(chunks, **limits):
    with pytest.raises(ProblemRaised) as raised:
        run(chunks, **limits)
    return raised.value.problem.code, raised.value.problem.detail


def test_blocks_are_gathered_and_nothing_is_lost(clock):
    content = bytes(range(256)) * 3000
    rows = [(0.0, content[at : at + 1000]) for at in range(0, len(content), 1000)]
    blocks = run(clock.chunks(*rows))
    assert b"".join(blocks) == content
    assert all(len(block) >= pace.BLOCK for block in blocks[:-1])
    assert max(map(len, blocks)) < pace.BLOCK + 1000


def test_a_byte_a_second_is_never_silent_and_still_too_slow(clock):
    code, detail = fault_of(clock.chunks(*[(1.0, b"x")] * 60), least_rate_bytes_s=100)
    assert code == "UPLOAD_TOO_SLOW"
    assert "Less than 100 bytes a second" in detail
    assert clock.now < 40


def test_a_rate_that_is_just_enough_is_taken(clock):
    blocks = run(clock.chunks(*[(1.0, b"x" * 101)] * 120), least_rate_bytes_s=100)
    assert len(b"".join(blocks)) == 120 * 101


def test_a_fast_upload_ends_at_the_deadline_too(clock):
    rows = [(1.0, bytes(1 << 20))] * 20
    code, detail = fault_of(clock.chunks(*rows), upload_deadline_s=10.0)
    assert (code, clock.now) == ("UPLOAD_TOO_SLOW", 10.0)
    assert "not complete after 10 seconds" in detail


def test_time_that_our_disk_takes_is_not_the_clients(clock):
    async def slow_disk():
        n_bytes = 0
        async for block in pace.paced(
            clock.chunks(*[(0.1, bytes(pace.BLOCK))] * 20), GatewaySettings(upload_deadline_s=10.0)
        ):
            clock.now += 60.0
            n_bytes += len(block)
        return n_bytes

    assert asyncio.run(slow_disk()) == 20 * pace.BLOCK


def test_one_byte_more_than_allowed_is_too_many(clock):
    assert len(run(clock.chunks((0, b"12345"), (0, b"12345")), max_upload_bytes=10)[0]) == 10
    code, _ = fault_of(clock.chunks((0, b"12345"), (0, b"123456")), max_upload_bytes=10)
    assert code == "UPLOAD_TOO_LARGE"


def test_a_client_that_leaves_is_said_to_have_left():
    async def leaving():
        yield b"x"
        raise ClientDisconnect

    assert fault_of(leaving())[0] == "UPLOAD_INCOMPLETE"
