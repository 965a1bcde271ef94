"""The Celery application: configured here for gateway and worker alike, tasks are the worker's.

JSON only, no results, no remote control, no retries: what happens to a job is decided in the
database, a message only says that one is there.
"""

from urllib.parse import urlsplit

from celery import Celery
from kombu.entity import Exchange, Queue

from dras_service.api.queues import JobQueue
from dras_service.settings import Settings

TASK = "dras.process"
_LOST_WAIT_S = 0.2
_VISIBILITY_MARGIN_S = 300.0
_FOLDER_TRANSPORT = "dras_service.queue.folder:Transport"


def create_celery(settings: Settings) -> Celery:
    """Make the application; the folders of a `filesystem://` broker are created."""
    app = Celery("dras", broker=settings.queue.url, set_as_current=False)
    name = settings.queue.name
    # The nameless exchange routes by queue name: nothing to declare, nothing to be half declared.
    names = [queue_name(name, queue) for queue in JobQueue]
    queues = [Queue(name, Exchange(""), routing_key=name) for name in names]
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,  # and so no more than one message is taken at a time
        task_time_limit=settings.worker.time_limit_s,
        task_queues=queues,
        task_default_queue=name,
        task_default_exchange="",
        task_default_routing_key=name,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_concurrency=settings.worker.n_processes,
        worker_prefetch_multiplier=1,
        # For the answer of a child that died: there is none to wait for, and the next job waits meanwhile.
        worker_lost_wait=_LOST_WAIT_S,
        worker_max_tasks_per_child=settings.worker.max_tasks_per_child,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_max_memory_per_child=settings.worker.max_child_mb * 1024,  # kilobytes
        # Work needs the database, not the broker: it goes on, and the message it came by does not matter.
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    if settings.queue.url.startswith("filesystem://"):
        _use_folder(app, settings)
    if is_redis(settings.queue.url):
        _use_redis(app, settings)
    return app


def task_name(queue: JobQueue) -> str:
    """Return what the task is called that takes a turn of `queue`."""
    return TASK if queue is JobQueue.STUDY else f"dras.{queue}"


def queue_name(service: str, queue: JobQueue) -> str:
    """Return what the broker calls a queue of a service: two may share one broker under two names."""
    return service if queue is JobQueue.STUDY else f"{service}-{queue}"


def is_redis(url: str) -> bool:
    """Whether the broker is Redis, with or without TLS."""
    return urlsplit(url).scheme in ("redis", "rediss")


def _use_redis(app: Celery, settings: Settings) -> None:
    app.conf.update(
        # With late acknowledgement a worker that was busy when its connection broke takes no work ever again
        # (seen with Celery 5.7, kombu 5.7). Acknowledged at once, a hint that is lost is written again.
        task_acks_late=False,
        worker_disable_prefetch=True,  # or a busy worker keeps another's hint to itself
    )
    app.conf.broker_transport_options = {
        # Longer than any task, or kombu hands a message that is still worked on to another worker.
        "visibility_timeout": settings.worker.time_limit_s + _VISIBILITY_MARGIN_S,
        # A server that is frozen or cut off must be noticed; redis-py waits for ever by default.
        "socket_timeout": settings.queue.socket_timeout_s,
        "socket_connect_timeout": settings.queue.socket_timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


def _use_folder(app: Celery, settings: Settings) -> None:
    # kombu warns of a missing host name, though this transport has none.
    app.conf.broker_url = "filesystem://localhost"
    folders = {name: settings.queue_folder / name for name in ("messages", "control", "taken")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    app.conf.update(
        broker_transport=_FOLDER_TRANSPORT,
        broker_transport_options={
            "data_folder_in": str(folders["messages"]),
            "data_folder_out": str(folders["messages"]),
            "processed_folder": str(folders["taken"]),
            "control_folder": str(folders["control"]),
            "polling_interval": settings.queue.polling_interval_s,
        },
    )
