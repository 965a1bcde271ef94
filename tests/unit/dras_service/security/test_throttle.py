from dras_service.security.throttle import FailureThrottle
from unit.dras_service.examples import Clock


def throttle(clock: Clock) -> FailureThrottle:
    return FailureThrottle(most=3, window_s=30.0, clock=clock)


def test_an_address_may_fail_as_often_as_the_settings_say_and_waits_then():
    guesses = throttle(Clock())
    assert [guesses.failed("192.0.2.1") for _ in range(5)] == [0.0, 0.0, 0.0, 10.0, 10.0]


def test_after_the_wait_one_more_failure_is_taken():
    clock = Clock()
    guesses = throttle(clock)
    for _ in range(3):
        guesses.failed("192.0.2.1")
    clock.now += 10.0
    assert guesses.failed("192.0.2.1") == 0.0
    assert guesses.failed("192.0.2.1") > 0.0


def test_addresses_are_counted_apart_but_those_of_one_ipv6_host_together():
    guesses = throttle(Clock())
    for number in range(3):
        guesses.failed(f"2001:db8::{number}")
        guesses.failed("192.0.2.1")
    assert guesses.failed("2001:db8::ffff:1") > 0
    assert guesses.failed("2001:db8:0:1::1") == 0.0
    assert guesses.failed("::ffff:192.0.2.1") > 0  # the same host, by way of a socket for both
    assert guesses.failed("192.0.2.2") == 0.0


def test_an_address_that_is_none_is_counted_too():
    guesses = throttle(Clock())
    assert [guesses.failed("") > 0 for _ in range(4)] == [False, False, False, True]


def test_memory_is_bounded_however_many_addresses_fail():
    guesses = throttle(Clock())
    for number in range(20_000):
        guesses.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guesses._levels) <= 10_000
