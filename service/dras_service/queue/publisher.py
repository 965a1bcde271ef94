"""From the outbox to the broker: hints are sent after the transaction that wrote them, never inside it.

An upload is answered without waiting for the broker; a broker that is away is tried again ever more rarely.
"""

import logging
import math
import time
from collections.abc import Callable

from dras_service.api.queues import JobQueue
from dras_service.queue.hints import BrokerUnreachable
from dras_service.store.outbox import Outbox
from dras_service.store.rows import Letter

_log = logging.getLogger(__name__)
HOLD_S = 10.0  # how long the hints of a publisher that died are nobody else's
_BATCH = 100
_FIRST_PAUSE_S = 1.0
_MOST_PAUSE_S = 10.0


class Publisher:
    """Sends what is due by `run_once`; any number of them may run at once."""

    def __init__(
        self,
        outbox: Outbox,
        send: Callable[[str, JobQueue], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._send = send
        self._now = clock
        self._pause_s = 0.0
        self._paused_until = -math.inf

    def run_once(self) -> int:
        """Send the hints that are due; return how many. Raises StoreError."""
        n_sent = 0
        while self._now() >= self._paused_until:
            letters = self._outbox.take("hint", hold_s=HOLD_S, limit=_BATCH)
            if not letters:
                break
            n_sent += self._send_all(letters)
        return n_sent

    def _send_all(self, letters: tuple[Letter, ...]) -> int:
        """Send until the broker takes no more; note what was sent, even where a defect ends it."""
        n_sent = 0
        try:
            for letter in letters:
                self._send(letter.job_id, JobQueue(letter.target or JobQueue.STUDY))
                n_sent += 1
            self._pause_s = 0.0
        except BrokerUnreachable as error:
            # One pause for all: uploads that come meanwhile must not make it longer.
            self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _MOST_PAUSE_S)
            self._paused_until = self._now() + self._pause_s
            _log.warning("%d hints not sent: %s", len(letters) - n_sent, error)
        finally:
            if n_sent:
                self._outbox.sent(*letters[:n_sent])
        if rest := letters[n_sent:]:
            self._outbox.put_off(*rest, delay_s=self._pause_s)
        return n_sent
