"""What a batch file asks for, opened: the places where cases are computed, and what results depend on."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from dras_client import Client
from dras_model import __version__
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.elsewhere import ServicePlace
from dras_service.batch.here import WorkerPlace, plan_for, setup_for
from dras_service.batch.job import BatchJob, Here, Service
from dras_service.batch.places import Place
from dras_service.batch.run import Stop

WORKERS_LOG = "workers.log"
_BUNDLES_WITHIN_S = 60.0  # a worker tells its bundles when it has proven them
_POLL_S = 1.0
_RETRY_FOR_S = 30.0  # within one call; what lasts longer the place bears, which can be stopped meanwhile


def open_places(job: BatchJob, *, stop: Stop) -> list[Place]:
    """Return the places; nothing is started or sent yet. Raises SetupRefused."""
    if job.service is not None:
        return [
            ServicePlace(_client(job.service), job, job.service, stop=stop.now)
            for _ in range(job.service.in_flight)
        ]
    here = job.here or Here()
    plan = plan_for(here)
    job.out.mkdir(parents=True, exist_ok=True)
    log = job.out / WORKERS_LOG
    return [
        WorkerPlace(setup_for(job.options, here, cores), plan.bounds, log=log, stop=stop.now)
        for cores in plan.cores
    ]


def recipe_of(job: BatchJob) -> str:
    """Return the digest of everything beside the images that a result depends on.

    Raises SetupRefused where weights, atlas, segmenter or key are at fault, DrasClientError where the service is.
    """
    told = _asked_here(job) if job.service is None else _asked_of(job, job.service)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _asked_here(job: BatchJob) -> dict[str, Any]:
    from dras_model.library import open_weights  # noqa: PLC0415 - a batch of a service needs no pipeline
    from dras_service.batch.worker import choices_of  # noqa: PLC0415

    atlas, bundle = open_weights(job.options.bundle, job.options.atlas)
    choices = choices_of(setup_for(job.options, job.here or Here()))
    return {
        "version": __version__,
        "bundle": bundle.sha256,
        "atlas": atlas.sha256,
        "parameters": choices.parameters(),
        "options": choices.options(),
        "dicom": job.options.dicom,
    }


def _asked_of(job: BatchJob, service: Service) -> dict[str, Any]:
    with _client(service) as client:
        give_up_at = time.monotonic() + _BUNDLES_WITHIN_S
        wanted = job.options.bundle
        while True:
            offered = client.bundles()
            found = [b for b in offered if (b.name == wanted if wanted is not None else b.is_default)]
            if found:
                break
            if offered or time.monotonic() > give_up_at:
                raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=f"{wanted or 'the default'} of {service.url}")
            time.sleep(_POLL_S)
        version = client.health().version
    return {"version": version, "bundle": found[0].sha256, "options": job.options.job.written()}


def _client(service: Service) -> Client:
    key = None if service.key_file is None else _key(service.key_file)
    return Client(service.url, key=key, retry_for_s=_RETRY_FOR_S)


def _key(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise SetupRefused(Code.KEY_INVALID, name=path.name, reason="the file cannot be read") from fault
