"""The worker process: `python -m dras_service.worker`.

With `--attached` it belongs to the process that started it: it says `ready`, or why it is not, in one
line on its standard output, and ends when its standard input closes, that is, when its owner is gone.
"""

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_ready

from dras_service.api.bundles import BundleView
from dras_service.api.queues import JobQueue
from dras_service.errors import CannotServe
from dras_service.observability.logs import configure_logging
from dras_service.observability.tracing import open_tracing
from dras_service.queue.app import create_celery, queue_name
from dras_service.queue.broker import check_broker
from dras_service.queue.hints import Hints
from dras_service.settings import Settings, read_settings
from dras_service.store.opening import open_blobs, open_store
from dras_service.worker.beacon import Beacon
from dras_service.worker.between_forks import BetweenForks
from dras_service.worker.devices import bind_processes
from dras_service.worker.draining import Drain
from dras_service.worker.engine import Engine, PipelineEngine, StagedEngine
from dras_service.worker.selftest import check
from dras_service.worker.tasks import Doorman, Split, add_tasks
from dras_service.worker.vigil import Vigil

READY = "ready"


def main() -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(
        prog="python -m dras_service.worker", description="Compute queued studies."
    )
    parser.add_argument("--attached", action="store_true", help="end with the process that started this one")
    attached = parser.parse_args().attached
    signal.signal(signal.SIGTERM, _end_now)  # until Celery takes signals over
    try:
        settings = read_settings()
        configure_logging(settings)
        if attached:
            threading.Thread(target=_end_with_owner, name="owner", daemon=True).start()
        check_broker(settings.queue)
        open_store(settings).close()
        proven = check()
    except CannotServe as fault:
        if attached:
            _tell(f"{fault.code} {fault}")
        else:
            # Not by the log, which withholds sentences: whoever starts this has to read it.
            sys.stderr.write(f"dras: {fault.code}: {fault}\n")
        return 1
    setup_logging.connect(_keep_logging)
    if attached:
        worker_ready.connect(_announce)
    # Celery's advice against root is about pickle, which is never unpacked here; containers run as root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    bind_processes(settings.worker)
    engine = PipelineEngine(settings.worker)
    celery = create_worker(settings, proven, engine, stages=engine)
    with attended(settings):
        return run(celery, log_level=settings.log_level, queues=served(settings))


@contextmanager
def attended(settings: Settings) -> Iterator[None]:
    """Give signs of life, and give back what dead children were at."""
    store = BetweenForks(settings.store_url)
    threads = (
        Beacon(store, every_s=settings.observability.beacon_s),
        Vigil(store, settings.worker),
    )
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop()


def served(settings: Settings) -> tuple[JobQueue, ...]:
    """Return the queues that a worker of these settings takes work from."""
    return settings.worker.queues or tuple(JobQueue)


def create_worker(
    settings: Settings,
    proven: tuple[BundleView, ...],
    engine: Engine,
    *,
    stages: StagedEngine | None = None,
) -> Celery:
    """Make the application with its tasks; the tables are brought to this version, and `proven` is offered.

    Without `stages` only studies in one go are worked on. Raises CannotServe.
    """
    store = open_store(settings)
    store.bundles.offer(proven)
    blobs = open_blobs(settings)
    blobs.prepare()
    # A connection must not cross a fork.
    store.close()
    celery = create_celery(settings)
    drain = Drain(grace_s=settings.worker.shutdown_grace_s)
    drain.listen()
    tracing = open_tracing(settings.observability, service="dras-worker")
    split = None
    if stages is not None:
        split = Split(stages, settings.encode, served(settings), Hints(celery).send)
    doorman = Doorman(
        leases=store.leases,
        blobs=blobs,
        engine=engine,
        settings=settings.worker,
        drain=drain,
        tracing=tracing,
        split=split,
    )
    add_tasks(celery, doorman)
    return celery


def run(celery: Celery, *, log_level: str, queues: tuple[JobQueue, ...] = (JobQueue.STUDY,)) -> int:
    """Take work of `queues` until a signal says stop; return the exit status."""
    service = celery.conf.task_default_queue
    worker = celery.Worker(
        hostname=f"dras-{os.getpid()}@{os.uname().nodename}",
        pool="prefork",
        queues=[queue_name(service, queue) for queue in queues],
        loglevel=log_level,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_logging(**_signal: Any) -> None:
    """Take Celery's place in setting up the log."""


def _announce(**_signal: Any) -> None:
    _tell(READY)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end_now(_number: int, _frame: object) -> None:
    # An exception, so that the self-test's process is ended with this one.
    raise SystemExit(0)


def _end_with_owner() -> None:
    # os.read, because a lock of sys.stdin held here would be inherited locked by every child.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
