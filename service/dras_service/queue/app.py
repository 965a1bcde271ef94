"""The Celery application: configured here for gateway and worker alike, tasks are the worker's.

JSON only, no results, no remote control, no retries: what happens to a job is decided in the
database, a message only says that one is there.
"""

from celery import Celery
from kombu.entity import Exchange, Queue

from dras_service.settings import Settings

TASK = "dras.process"
_FOLDER_TRANSPORT = "dras_service.queue.folder:Transport"


def create_celery(settings: Settings) -> Celery:
    """Make the application; the folders of a `filesystem://` broker are created."""
    app = Celery("dras", broker=settings.queue.url, set_as_current=False)
    name = settings.queue.name
    # The nameless exchange routes by queue name: nothing to declare, nothing to be half declared.
    queue = Queue(name, Exchange(""), routing_key=name)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_time_limit=settings.worker.time_limit_s,
        task_queues=[queue],
        task_default_queue=name,
        task_default_exchange="",
        task_default_routing_key=name,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_concurrency=settings.worker.processes,
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=settings.worker.max_tasks_per_child,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # A job that was cut short comes back by its lease, the message need not.
        worker_cancel_long_running_tasks_on_connection_loss=True,
    )
    if settings.queue.url.startswith("filesystem://"):
        _use_folder(app, settings)
    return app


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
