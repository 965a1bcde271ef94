"""A short soak; the long one is `make soak`, and docs/reliability.md keeps its figures."""

import pytest

from integration.reliability.soak import FAULTS, Plan, soak
from servers import need_postgresql, need_redis


@pytest.mark.parametrize("cluster", [True, False], ids=["PostgreSQL and Redis", "SQLite and folders"])
def test_nothing_is_lost_or_done_twice_while_everything_is_killed_again_and_again(server_folder, cluster):
    if cluster:
        need_postgresql()
        need_redis()
    folder = server_folder / f"soak-{cluster}"
    folder.mkdir()
    figures = soak(folder, Plan("short", n_kills=10, seconds=90.0, cluster=cluster), seed=7)
    assert {fault: figures[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert figures["finished"] == figures["accepted"] > 5
    assert figures["kills"] == 10
