"""Whether the broker answers, and, where it is Redis, whether it keeps messages."""

from collections.abc import Iterator
from contextlib import closing

from dras_service.doctor.faults import Fault, FaultCode
from dras_service.queue.app import create_celery
from dras_service.queue.hints import BrokerUnreachable, Hints
from dras_service.settings import Settings

_PATIENCE_S = 3.0
_REDIS = ("redis://", "rediss://")


def check_broker(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with the broker of the settings."""
    if settings.queue.url.startswith(_REDIS):
        yield from _check_redis(settings.queue.url)
        return
    try:
        Hints(create_celery(settings)).check()
    except (BrokerUnreachable, OSError):
        yield Fault.of(FaultCode.BROKER_UNREACHABLE)


def _check_redis(url: str) -> Iterator[Fault]:
    from redis import Redis  # noqa: PLC0415 - an extra, there where the settings name Redis
    from redis.exceptions import RedisError, ResponseError  # noqa: PLC0415

    with closing(
        Redis.from_url(url, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S)
    ) as redis:
        try:
            redis.ping()
            found = {name: _config(redis, name) for name in ("appendonly", "maxmemory-policy")}
        except ResponseError:  # managed services forbid CONFIG
            yield Fault.of(FaultCode.BROKER_UNKNOWN)
            return
        except (RedisError, OSError, ValueError):
            yield Fault.of(FaultCode.BROKER_UNREACHABLE)
            return
    if found["appendonly"] != "yes":
        yield Fault.of(FaultCode.BROKER_NOT_PERSISTENT)
    if found["maxmemory-policy"] != "noeviction":
        yield Fault.of(FaultCode.BROKER_EVICTS, policy=found["maxmemory-policy"])


def _config(redis: object, name: str) -> str:
    answer = redis.config_get(name)  # type: ignore[attr-defined]
    return str(answer.get(name, "")) if isinstance(answer, dict) else ""
