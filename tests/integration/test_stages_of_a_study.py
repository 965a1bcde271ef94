"""One phantom through the service's own queues by stages and in one go, with the real pipeline: the same result."""

import json
from pathlib import Path

import pytest

from dras_service.api.options import JobOptions
from dras_service.api.queues import STAGES, JobQueue
from dras_service.settings import EncodeSettings, Settings, WorkerSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.keeping import keep
from dras_service.store.rows import Order
from dras_service.store.store import Store
from dras_service.worker.engine import PipelineEngine
from dras_service.worker.tasks import Doorman, Split

WISHES = JobOptions(phase="expiration", harmonise=False, reference_volume_ml=5000.0).written()


@pytest.fixture(scope="module")
def results(
    phantom_study: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[JobQueue, dict[str, bytes]]:
    """The files of the result, by the queue that the study was put in."""
    settings = Settings(data=tmp_path_factory.mktemp("data"), worker=WorkerSettings())
    engine = PipelineEngine(settings.worker)
    database = open_engine(settings.store_url)
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    found = {}
    for queue in (JobQueue.STUDY, JobQueue.PREPARE):
        store = Store(database, first_queue=queue)
        store.migrate()
        with blobs.receive() as incoming:
            for path in sorted(phantom_study.iterdir()):
                incoming.write(path.read_bytes())
                incoming.end_file()
            order = Order(options=WISHES, repeat=True)
            job = keep(incoming, order, tenant="default", submission=store.submission, blobs=blobs).job
        split = Split(engine, EncodeSettings(wait_ms=0), tuple(JobQueue), lambda *_hint: None)
        door = Doorman(leases=store.leases, blobs=blobs, engine=engine, settings=settings.worker, split=split)
        for stage in (queue,) if queue is JobQueue.STUDY else STAGES:
            door.admit(job.id, stage)
        outputs = store.jobs.outputs(job.id, tenant="default")
        assert outputs is not None, store.jobs.find(job.id, tenant="default")
        found[queue] = {
            file.name: blobs.output_path(outputs, file).read_bytes() for file in outputs.artifacts
        }
    database.dispose()
    return found


def test_a_study_that_goes_by_stages_ends_with_the_files_of_one_that_does_not(results) -> None:
    by_stages, in_one_go = (dict(results[queue]) for queue in (JobQueue.PREPARE, JobQueue.STUDY))
    told, expected = (json.loads(files.pop("result.json")) for files in (by_stages, in_one_go))
    del told["timings"], expected["timings"]
    assert told == expected
    assert by_stages.keys() == in_one_go.keys()
    assert [name for name in by_stages if by_stages[name] != in_one_go[name]] == []


def test_what_was_asked_of_a_job_is_what_was_done_either_way(results) -> None:
    for files in results.values():
        options = json.loads(files["result.json"])["provenance"]["options"]
        assert {name: options[name] for name in WISHES} == WISHES
