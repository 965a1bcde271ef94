"""The worker process: `python -m dras_service.worker`.

With `--attached` it belongs to the process that started it: it says `ready`, or why it is not, in one
line on its standard output, and ends when its standard input closes, that is, when its owner is gone.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_ready

from dras_service.api.bundles import BundleView
from dras_service.errors import CannotServe
from dras_service.queue.app import create_celery
from dras_service.settings import Settings, read_settings
from dras_service.store.blobs import BlobStore
from dras_service.store.jobs import JobStore
from dras_service.store.schema import open_engine
from dras_service.worker.engine import PipelineEngine
from dras_service.worker.selftest import check
from dras_service.worker.tasks import Doorman, add_task

READY = "ready"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


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
        logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
        if attached:
            threading.Thread(target=_end_with_owner, name="owner", daemon=True).start()
        proven = check()
    except CannotServe as fault:
        if attached:
            _tell(f"{fault.code} {fault}")
        else:
            logging.getLogger(__name__).critical("%s: %s", fault.code, fault)
        return 1
    setup_logging.connect(_keep_logging)
    if attached:
        worker_ready.connect(_announce)
    # Celery's advice against root is about pickle, which is never unpacked here; containers run as root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    return run(create_worker(settings, proven), log_level=settings.log_level)


def create_worker(settings: Settings, proven: tuple[BundleView, ...]) -> Celery:
    """Make the application with its task; tables that are not there are made, and `proven` is offered."""
    store = JobStore(open_engine(settings.store_url, busy_timeout_s=settings.store.busy_timeout_s))
    store.create_tables()
    store.offer(proven)
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    # A connection must not cross a fork.
    store.close()
    celery = create_celery(settings)
    engine = PipelineEngine(settings.worker)
    add_task(celery, Doorman(store=store, blobs=blobs, engine=engine, settings=settings.worker))
    return celery


def run(celery: Celery, *, log_level: str) -> int:
    """Take work until a signal says stop; return the exit status."""
    worker = celery.Worker(
        hostname=f"dras-{os.getpid()}@{os.uname().nodename}",
        pool="prefork",
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
