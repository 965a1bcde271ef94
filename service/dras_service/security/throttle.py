"""Bounds what an address can fail: beyond that it is told to wait, and nothing more is written about it.

A valid key goes on being taken, because a whole hospital may stand behind one address and 256 bits cannot
be guessed; what this protects is the audit log. Kept in the gateway's memory: a restart forgives.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_ADDRESSES = 10_000


class FailureThrottle:
    """A bucket of failures an address that leaks evenly: `most` of them within `window_s`."""

    def __init__(self, *, most: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._leak_per_s = most / window_s
        self._now = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # network -> level, at
        self._lock = threading.Lock()

    def failed(self, address: str) -> float:
        """Count a failure of `address`; return how many seconds it has to wait, 0 where it may go on."""
        network = _network(address)
        with self._lock:
            level = self._level(network)
            if level + 1 > self._most:
                return (level + 1 - self._most) / self._leak_per_s
            self._levels[network] = (level + 1, self._now())
            self._levels.move_to_end(network)
            while len(self._levels) > _MOST_ADDRESSES:
                self._levels.popitem(last=False)
        return 0.0

    def _level(self, network: str) -> float:
        level, at = self._levels.get(network, (0.0, 0.0))
        return max(0.0, level - (self._now() - at) * self._leak_per_s)


def _network(address: str) -> str:
    """Return what one caller holds: an IPv4 address, or the /64 that an IPv6 host chooses addresses from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
