"""How long trouble is borne, and how long each pause is: growing, with chance in it, and no shorter than asked for.

Only the time in which nothing moves counts: an upload of an hour that breaks at its end is begun again.
"""

import random
import time
from collections.abc import Callable

FIRST_PAUSE_S, MOST_PAUSE_S = 0.2, 5.0


class Patience:
    """The patience with one request over all its attempts; it runs from its construction."""

    def __init__(
        self,
        limit_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.n_failures = 0
        self._left_s = limit_s
        self._clock = clock
        self._chance = chance
        self._moved_at = clock()
        self._ceiling_s = FIRST_PAUSE_S

    def moved(self) -> None:
        """Say that something went through just now."""
        self._moved_at = self._clock()

    def next_pause_s(self, asked_s: float | None) -> float | None:
        """Return how long to pause after a failure; None where the patience is at its end.

        `asked_s` is what the service asks for. Chance keeps clients that failed together from coming back together.
        """
        self.n_failures += 1
        now = self._clock()
        self._left_s -= now - self._moved_at
        spread_s = self._ceiling_s / 2 * (1 + self._chance())
        self._ceiling_s = min(2 * self._ceiling_s, MOST_PAUSE_S)
        pause_s = spread_s if asked_s is None else asked_s + spread_s / 2
        if pause_s > self._left_s:
            return None
        self._left_s -= pause_s
        self._moved_at = now + pause_s
        return pause_s
