"""Telling workers that a job waits. Losing a hint costs time, never a job: the sweeper sends another."""

import logging

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from dras_service.queue.app import TASK
from dras_service.store.errors import StoreError
from dras_service.store.jobs import JobStore

_log = logging.getLogger(__name__)
_CONNECT_TIMEOUT_S = 2.0


class BrokerUnreachable(Exception):
    """The broker takes no message just now."""


class Hints:
    """Sends hints for jobs of `store` and notes there that they were sent."""

    def __init__(self, celery: Celery, store: JobStore) -> None:
        self._celery = celery
        self._store = store

    def publish(self, job_id: str) -> None:
        """Send a hint. A broker or database that fails now is made up for by the sweeper."""
        try:
            self._celery.send_task(TASK, args=[job_id], retry=False)
            self._store.hinted(job_id)
        except (OperationalError, ChannelError, OSError) as error:
            _log.warning("hint not sent: %s", type(error).__name__)
        except StoreError as error:
            _log.warning("hint not noted: %s", type(error).__name__)

    def check(self) -> None:
        """Ask the broker how long its queue is. Raises BrokerUnreachable."""
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_CONNECT_TIMEOUT_S)
                queue = self._celery.conf.task_default_queue
                connection.default_channel.queue_declare(queue=queue, passive=True)
        except (OperationalError, ChannelError, OSError) as error:
            raise BrokerUnreachable(type(error).__name__) from error
