"""One process a GPU: each child of the pool sees one device, chosen before anything of CUDA is loaded.

CUDA does not survive a fork, and two processes on one device take its memory twice; so the parent never opens it,
and what a child may see is set in its environment, which the runtime reads when it is imported.
"""

import os
from typing import Any

from billiard.process import current_process
from celery.signals import worker_process_init

from dras_service.settings import WorkerSettings

VISIBLE = "CUDA_VISIBLE_DEVICES"


def bind_processes(settings: WorkerSettings) -> None:
    """Have every child that is forked from now on bound to the GPU of its place in the pool."""
    if settings.device != "cuda" or not settings.gpus:
        return

    def bind(**_signal: Any) -> None:
        # A child that takes the place of a dead one takes its index, too.
        os.environ[VISIBLE] = gpu_of(current_process().index, settings.gpus)

    worker_process_init.connect(bind, weak=False)


def gpu_of(index: int, gpus: tuple[str, ...]) -> str:
    """Return the GPU of the pool's child `index`."""
    return gpus[index % len(gpus)]
