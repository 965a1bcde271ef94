import pytest

from dras_service.errors import CannotServe
from dras_service.queue.app import create_celery
from dras_service.queue.broker import check_broker
from dras_service.settings import QueueSettings
from servers import free_port


def test_a_redis_that_drops_messages_is_refused_and_one_that_does_not_is_taken(redis_server):
    settings = QueueSettings(url=redis_server.url)
    check_broker(settings)
    redis_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(CannotServe) as fault:
            check_broker(settings)
        assert fault.value.code == "BROKER_EVICTS"
    finally:
        redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_redis_that_is_away_or_keeps_its_settings_to_itself_is_taken_as_it_is(redis_server):
    check_broker(QueueSettings(url=f"redis://127.0.0.1:{free_port()}/0"))
    redis_server.ask("ACL", "SETUSER", "default", "-config")
    try:
        check_broker(QueueSettings(url=redis_server.url))
    finally:
        redis_server.ask("ACL", "SETUSER", "default", "+config")


def test_another_broker_is_not_asked():
    check_broker(QueueSettings())


def test_a_message_is_nobody_elses_for_longer_than_any_task_may_take(parts, redis_server):
    settings = parts.settings.model_copy(update={"queue": QueueSettings(url=redis_server.url)})
    celery = create_celery(settings)
    options = celery.conf.broker_transport_options
    assert options["visibility_timeout"] > celery.conf.task_time_limit
    assert options["socket_timeout"] == 5.0
    assert celery.conf.broker_connection_max_retries is None
    assert not celery.conf.worker_cancel_long_running_tasks_on_connection_loss
