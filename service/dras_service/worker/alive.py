"""Whether the worker of this host lives: `python -m dras_service.worker.alive`, for a container's health check.

Its exit status is 1 where the database answers and holds no recent sign of life of this host. A database that is
away is no reason to start a worker again, so that it passes. Leaves out whether a study makes progress: leases.
"""

import socket
import sys
from contextlib import closing

from dras_service.errors import CannotServe
from dras_service.settings import Settings, read_settings
from dras_service.store.engine import open_engine
from dras_service.store.errors import StoreError
from dras_service.store.store import Store

_MISSED_BEACONS = 4
_PATIENCE_S = 5.0


def is_alive(settings: Settings, *, host: str) -> bool:
    """Look for a sign of life of a worker of `host`; True, too, where the database does not answer."""
    try:
        with closing(Store(open_engine(settings.store_url, busy_timeout_s=_PATIENCE_S))) as store:
            return store.numbers.seen_within(_MISSED_BEACONS * settings.observability.beacon_s, host=host)
    except (StoreError, OSError):
        return True


def main() -> int:
    """Return the exit status."""
    try:
        return 0 if is_alive(read_settings(), host=socket.gethostname()) else 1
    except CannotServe as fault:
        sys.stderr.write(f"{fault.code}: {fault}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
