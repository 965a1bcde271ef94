"""Telling workers that a job waits. Losing a hint costs time, never a job: the sweeper writes another."""

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from dras_service.api.queues import JobQueue
from dras_service.failpoints import hit
from dras_service.queue.app import queue_name, task_name

_CONNECT_TIMEOUT_S = 2.0
_AWAY = (OperationalError, ChannelError, OSError)


class BrokerUnreachable(Exception):
    """The broker takes no message just now."""


class Hints:
    """Sends messages that hold a job id and nothing else."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def send(self, job_id: str, queue: JobQueue = JobQueue.STUDY) -> None:
        """Send one hint that a job waits in `queue`, without trying again. Raises BrokerUnreachable."""
        hit("send_hint.before")
        try:
            where = queue_name(self._celery.conf.task_default_queue, queue)
            self._celery.send_task(task_name(queue), args=[job_id], queue=where, retry=False)
        except Exception as error:  # each broker's library has its own: a Redis without room has, too
            raise BrokerUnreachable(type(error).__name__) from error
        hit("send_hint.after")

    def check(self) -> None:
        """Ask the broker how long its queue is. Raises BrokerUnreachable."""
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_CONNECT_TIMEOUT_S)
                queue = self._celery.conf.task_default_queue
                connection.default_channel.queue_declare(queue=queue, passive=True)
        except _AWAY as error:
            raise BrokerUnreachable(type(error).__name__) from error
