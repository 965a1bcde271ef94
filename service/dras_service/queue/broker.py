"""Whether a Redis can be trusted with hints: asked once, where a process starts.

A server that evicts keys when its memory is full drops a queue without a word. The sweeper makes up for that,
but late; so it is refused. A server that is away, or does not tell, is taken as it is.
"""

import logging

from kombu.connection import Connection
from kombu.exceptions import OperationalError

from dras_service.errors import CannotServe
from dras_service.queue.app import is_redis
from dras_service.settings import QueueSettings

_log = logging.getLogger(__name__)
_POLICY = "maxmemory-policy"


def check_broker(settings: QueueSettings) -> None:
    """Ask a Redis what it does when its memory is full. Raises CannotServe: BROKER_EVICTS, BROKER_UNSUPPORTED."""
    if not is_redis(settings.url):
        return
    try:
        from redis.exceptions import RedisError  # noqa: PLC0415 - only where the extra is wanted
    except ImportError as error:
        raise CannotServe(
            "BROKER_UNSUPPORTED", "A Redis broker needs the extra `cluster`: pip install 'dras[cluster]'."
        ) from error
    options = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), settings.socket_timeout_s)
    try:
        with Connection(settings.url, transport_options=options) as connection:
            told = connection.default_channel.client.config_get(_POLICY)
    except (OperationalError, RedisError, OSError) as error:
        _log.warning("the broker does not tell its %s: %s", _POLICY, type(error).__name__)
        return
    if (policy := told.get(_POLICY, "noeviction")) != "noeviction":
        raise CannotServe(
            "BROKER_EVICTS",
            f"The Redis drops messages when its memory is full (maxmemory-policy {policy}); set it to noeviction.",
        )
