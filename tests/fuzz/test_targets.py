"""What the fuzzer feeds is fed here for a moment: seeds, and seeds damaged at random."""

import random

import pytest

from fuzz.targets import TARGETS, run

N_DAMAGED = {"series": 8}


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_fed_is_taken_or_refused_and_nothing_else(name: str) -> None:
    target = TARGETS[name]
    chance = random.Random(name)
    for seed in target.seeds():
        run(target, seed)
        for _ in range(N_DAMAGED.get(name, 40)):
            run(target, _damaged(seed or chance.randbytes(64), chance))


def _damaged(seed: bytes, chance: random.Random) -> bytes:
    content = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(content) + 1)
        n = chance.choice([0, 1, 1, 4, 30])
        content[place : place + n] = chance.randbytes(chance.choice([0, n, n, 4]))
    return bytes(content)
