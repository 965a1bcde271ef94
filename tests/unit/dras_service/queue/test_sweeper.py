import pytest

from dras_service.api.jobs import JobState
from dras_service.queue.sweeper import Sweeper
from dras_service.store.keeping import keep
from dras_service.store.rows import Order
from unit.dras_service.examples import find, outputs_of, study_result, submit


class Woken:
    def __init__(self):
        self.n = 0

    def __call__(self):
        self.n += 1


@pytest.fixture
def woken():
    return Woken()


@pytest.fixture
def sweeper(parts, woken):
    return Sweeper(store=parts.store, blobs=parts.blobs, wake_publisher=woken, settings=parts.settings)


def hinted(parts):
    letters = parts.store.outbox.take("hint", hold_s=30.0)
    if letters:
        parts.store.outbox.sent(*letters)
    return [letter.job_id for letter in letters]


def test_a_job_whose_message_was_lost_gets_another(sweeper, parts, woken):
    job = submit(parts.store)
    assert hinted(parts) == [job.id]
    sweeper.run_once()
    assert hinted(parts) == []
    parts.clock.now += parts.settings.queue.hint_again_after_s
    sweeper.run_once()
    assert hinted(parts) == [job.id]
    assert woken.n == 2


def test_a_job_whose_worker_died_is_queued_again(sweeper, parts):
    job = submit(parts.store)
    parts.store.leases.claim(owner="me", lease_s=60.0)
    assert sweeper.run_once().requeued == ()
    parts.clock.now += 61
    assert sweeper.run_once().requeued == (job.id,)


def test_what_is_past_its_time_goes_with_its_files_and_a_later_upload_is_as_new(sweeper, parts):
    def upload():
        with parts.blobs.receive() as incoming:
            incoming.write(b"image")
            order = Order(expires_at=parts.clock.now + 100)
            return keep(
                incoming,
                order,
                tenant="default",
                submission=parts.store.submission,
                blobs=parts.blobs,
            ).job

    job = upload()
    claim = parts.store.leases.claim(owner="me", lease_s=60.0)
    with parts.blobs.workspace(claim) as room:
        (room / "out").mkdir()
        (room / "out" / "result.json").write_bytes(b"{}")
        outputs = parts.blobs.keep_outputs(room / "out", claim)
    parts.store.leases.commit(claim, study_result(), outputs=outputs)
    sweeper.run_once()
    assert parts.blobs.has_study(job.study_key)
    parts.clock.now += 100
    sweeper.run_once()
    files = [path for path in parts.settings.blob_folder.rglob("*") if path.is_file()]
    assert files == []
    assert find(parts.store, job.id).state is JobState.SUCCEEDED_WITH_WARNINGS
    assert upload().id != job.id


def test_a_job_without_an_end_of_its_time_stays(sweeper, parts):
    submit(parts.store)
    claim = parts.store.leases.claim(owner="me", lease_s=60.0)
    parts.store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    parts.clock.now += 1e9
    sweeper.run_once()
    assert parts.store.jobs.document(claim.job_id, tenant="default") is not None
