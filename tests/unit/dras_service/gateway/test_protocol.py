import asyncio

import pytest

from dras_service.gateway.protocol import Gate


def test_who_waits_at_the_gate_enters_in_order_and_one_in_a_turn_of_the_loop():
    gate = Gate()
    told = []

    async def rush():
        loop = asyncio.get_running_loop()
        for number in range(3):
            gate.wait(loop, lambda number=number: told.append(number))
        for _ in range(4):
            told.append("turn")
            await asyncio.sleep(0)

    asyncio.run(rush())
    assert told == ["turn", 0, "turn", 1, "turn", 2, "turn"]


def test_one_that_fails_at_the_gate_does_not_shut_it_for_the_next():
    gate = Gate()
    told = []

    def fail():
        raise RuntimeError("defect")

    async def rush():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(str(context["exception"])))
        for enter in (fail, lambda: told.append("in")):
            gate.wait(loop, enter)
        await asyncio.sleep(0.05)
        gate.wait(loop, lambda: told.append("later"))
        await asyncio.sleep(0.05)

    asyncio.run(rush())
    assert told == ["defect", "in", "later"]


@pytest.mark.parametrize("n", [1, 2])
def test_an_empty_gate_lets_in_in_the_next_turn_again(n):
    gate = Gate()
    told = []

    async def come():
        for number in range(n):
            gate.wait(asyncio.get_running_loop(), lambda number=number: told.append(number))
            await asyncio.sleep(0)

    asyncio.run(come())
    assert told == list(range(n))
