from datetime import UTC, datetime

import pytest

from dras_client.patience import MOST_PAUSE_S, Patience
from dras_client.retry_after import retry_after_s


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def pauses(limit_s, *, chance, n=20, asked_s=None):
    clock = Clock()
    patience = Patience(limit_s, clock=clock, chance=lambda: chance)
    for _ in range(n):
        pause_s = patience.next_pause_s(asked_s)
        if pause_s is None:
            return
        yield pause_s
        clock.now += pause_s


def test_pauses_grow_to_a_limit():
    found = list(pauses(1000, chance=1.0))
    assert found == [0.2, 0.4, 0.8, 1.6, 3.2, *[MOST_PAUSE_S] * 15]


def test_chance_spreads_a_pause_over_its_upper_half():
    least, most = (next(pauses(10, chance=chance)) for chance in (0.0, 1.0))
    assert least == most / 2


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_all_pauses_together_are_no_longer_than_is_borne(chance):
    found = list(pauses(10, chance=chance, n=100))
    assert 5 < sum(found) <= 10


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_what_the_service_asks_for_is_a_floor(chance):
    assert all(9 <= pause_s <= 9 + MOST_PAUSE_S for pause_s in pauses(1000, chance=chance, asked_s=9))


def test_the_time_in_which_something_moves_does_not_count():
    clock = Clock()
    patience = Patience(10, clock=clock, chance=lambda: 1.0)
    for _ in range(360):
        clock.now += 10.0
        patience.moved()
    assert patience.next_pause_s(None) == 0.2
    clock.now += 11.0
    assert patience.next_pause_s(None) is None


def test_silence_before_a_failure_counts():
    clock = Clock()
    patience = Patience(30, clock=clock)
    clock.now = 30.0
    assert patience.next_pause_s(None) is None


NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("Sat, 31 Jan 2026 12:00:30 GMT", 30),
        ("Sat, 31 Jan 2026 12:00:30 -0000", 30),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_when_to_come_back_is_read_in_seconds_and_as_a_date(said, seconds):
    assert retry_after_s({"retry-after": said}, now=NOW) == seconds


def test_an_answer_that_does_not_say_when_to_come_back_says_nothing():
    assert retry_after_s({}) is None
