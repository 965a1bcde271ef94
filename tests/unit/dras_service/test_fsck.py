import os
import shutil
import time

import obstore
import pytest

from dras_service.api.jobs import JobState
from dras_service.api.queues import JobQueue
from dras_service.fsck import SENTENCES, Checker, Damage
from dras_service.settings import BlobSettings
from dras_service.store.keeping import keep
from dras_service.store.opening import open_blobs
from dras_service.store.rows import Order
from dras_service.store.store import Store
from unit.dras_service.examples import find, study_result, submit

OLD_S = 10_000.0
OF_DRAFTS = {Damage.DRAFT_MISSING, Damage.DRAFT_ORPHAN}  # tested at the end


class Yard:
    """A service's rows and files, made by its own means."""

    def __init__(self, parts):
        self.store, self.blobs, self.root = parts.store, parts.blobs, parts.settings.blob_folder

    def keep(self, *contents: bytes):
        with self.blobs.receive() as incoming:
            for content in contents:
                incoming.write(content)
                incoming.end_file()
            kept = keep(
                incoming, Order(), tenant="default", submission=self.store.submission, blobs=self.blobs
            )
        return kept.job

    def finish(self):
        claim = self.store.leases.claim(owner="me", lease_s=60.0)
        with self.blobs.workspace(claim) as room:
            (room / "out").mkdir()
            (room / "out" / "regions.csv").write_text("regions")
            (room / "out" / "result.json").write_text("{}")
            outputs = self.blobs.keep_outputs(room / "out", claim)
        self.store.leases.commit(claim, study_result(), outputs=outputs)
        return outputs

    def check(self, *, deep=False, repair=False):
        checker = Checker(
            self.store,
            self.blobs,
            root=self.root,
            deep=deep,
            repair=repair,
            settled_s=OLD_S / 2,
            actor="uid:0",
        )
        return [(finding.damage, finding.repaired) for finding in checker.run()]

    def age(self):
        past = time.time() - OLD_S
        for path in [self.root, *self.root.rglob("*")]:
            os.utime(path, (past, past))


@pytest.fixture
def yard(parts):
    made = Yard(parts)
    made.keep(b"one file")
    made.finish()
    made.keep(b"first", b"second")
    return made


@pytest.fixture
def job(yard):
    """The job that has succeeded."""
    (done,) = [job for job in yard.store.jobs.page(tenant="default", limit=9).jobs if job.state.has_result]
    return done


def outputs(yard, job):
    return yard.store.jobs.outputs(job.id, tenant="default")


def break_study(yard, job):
    yard.blobs.study_path(job.study_key).unlink()


def change_study(yard, job):
    yard.blobs.study_path(job.study_key).write_bytes(b"one filE")


def drop_outputs(yard, job):
    shutil.rmtree(yard.root / "outputs" / outputs(yard, job).key)


def drop_one_output(yard, job):
    (yard.root / "outputs" / outputs(yard, job).key / "regions.csv").unlink()


def change_output(yard, job):
    (yard.root / "outputs" / outputs(yard, job).key / "regions.csv").write_text("REGIONS")


def cut_output(yard, job):
    (yard.root / "outputs" / outputs(yard, job).key / "regions.csv").write_text("reg")


def forget_result(yard, job):
    with yard.store.numbers._database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM artifact")
        connection.exec_driver_sql("DELETE FROM result")
    shutil.rmtree(yard.root / "outputs")
    (yard.root / "outputs").mkdir()


def add_study(yard, _job):
    (yard.root / "studies" / "default" / "ab").mkdir(exist_ok=True)
    (yard.root / "studies" / "default" / "ab" / ("ab" * 32)).write_bytes(b"nobody's")
    yard.age()


def add_outputs(yard, _job):
    (yard.root / "outputs" / "5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11-3").mkdir()
    yard.age()


def leave_incoming(yard, _job):
    (yard.root / "incoming" / "upload-dead").mkdir()
    (yard.root / "incoming" / "upload-dead" / "000001.dcm").write_bytes(b"half")
    yard.age()


KINDS = [
    (break_study, Damage.STUDY_MISSING, False),
    (change_study, Damage.STUDY_CHANGED, True),
    (drop_outputs, Damage.OUTPUTS_MISSING, False),
    (drop_one_output, Damage.OUTPUTS_MISSING, False),
    (change_output, Damage.OUTPUTS_CHANGED, True),
    (cut_output, Damage.OUTPUTS_CHANGED, False),
    (forget_result, Damage.RESULT_INCOMPLETE, False),
    (add_study, Damage.STUDY_ORPHAN, False),
    (add_outputs, Damage.OUTPUTS_ORPHAN, False),
    (leave_incoming, Damage.INCOMING_REMNANT, False),
]


@pytest.mark.parametrize("deep", [False, True])
def test_where_nothing_is_wrong_nothing_is_found(yard, deep):
    assert yard.check(deep=deep) == []
    yard.age()
    assert yard.check(deep=deep) == []


@pytest.mark.parametrize(
    ("damage", "expected", "deep"), KINDS, ids=lambda part: getattr(part, "__name__", "")
)
def test_every_kind_of_damage_is_found_repaired_once_and_recorded(yard, job, damage, expected, deep):
    damage(yard, job)
    assert yard.check(deep=deep) == [(expected, False)], "looking changes nothing"
    assert yard.check(deep=deep) == [(expected, False)]
    assert yard.check(deep=deep, repair=True) == [(expected, True)]
    assert yard.check(deep=deep, repair=True) == [], "a repair is not needed twice"
    repairs = [entry for entry in yard.store.audit.after(0) if entry.action == "store.repair"]
    assert [entry.detail for entry in repairs] == [f'{{"damage": "{expected}"}}']


@pytest.mark.parametrize("damage", [change_study, change_output], ids=lambda part: part.__name__)
def test_a_change_of_the_same_size_is_found_only_by_reading(yard, job, damage):
    damage(yard, job)
    assert yard.check() == []


@pytest.mark.parametrize("damage", [change_study, change_output], ids=lambda part: part.__name__)
def test_what_is_damaged_is_laid_aside_and_not_lost(yard, job, damage):
    damage(yard, job)
    yard.check(deep=True, repair=True)
    aside = [path for path in (yard.root / "damaged").rglob("*") if path.is_file()]
    assert {path.read_bytes() for path in aside} & {b"one filE", b"REGIONS"}


def test_a_job_that_waits_for_a_lost_study_fails_and_the_same_upload_is_a_new_job(yard):
    waiting = yard.keep(b"waits")
    yard.blobs.study_path(waiting.study_key).unlink()
    yard.check(repair=True)
    assert find(yard.store, waiting.id).state is JobState.FAILED
    again = yard.keep(b"waits")
    assert again.id != waiting.id
    assert yard.blobs.has_study(again.study_key)
    assert yard.check() == []


def test_a_study_that_is_being_worked_on_is_reported_and_left_alone(yard):
    running = yard.store.leases.claim(owner="me", lease_s=60.0)
    shutil.rmtree(yard.blobs.study_path(running.study_key))
    assert yard.check(repair=True) == [(Damage.STUDY_MISSING, False)]


def test_a_repaired_result_is_computed_anew_on_the_next_upload(yard, job):
    drop_outputs(yard, job)
    yard.check(repair=True)
    assert outputs(yard, job) is None
    assert yard.keep(b"one file").id != job.id


@pytest.mark.parametrize("damage", [add_study, add_outputs, leave_incoming], ids=lambda part: part.__name__)
def test_what_may_still_be_under_way_is_not_touched(yard, job, damage):
    damage(yard, job)
    now = time.time()
    for path in yard.root.rglob("*"):
        os.utime(path, (now, now))
    assert yard.check(repair=True) == []


def test_the_outputs_of_a_job_that_runs_are_nobodys_orphans(yard):
    claim = yard.store.leases.claim(owner="me", lease_s=60.0)
    (yard.root / "outputs" / f"{claim.job_id}-{claim.fence}").mkdir()
    yard.age()
    assert yard.check(repair=True) == []


def test_every_kind_of_damage_has_a_sentence_and_a_test():
    assert set(SENTENCES) == set(Damage) == {expected for _, expected, _ in KINDS} | OF_DRAFTS


@pytest.fixture
def bereft(yard):
    """A job between two of its stages, and the key of what the first has left for the second."""
    database = yard.store._database
    staged = Store(database.engine, clock=database.now, first_queue=JobQueue.PREPARE)
    job = submit(staged, "e")
    claim = yard.store.leases.claim(owner="me", lease_s=60.0, queues=[JobQueue.PREPARE])
    with yard.blobs.workspace(claim) as room:
        (room / "draft").mkdir()
        (room / "draft" / "draft.json").write_text("{}")
        key = yard.blobs.keep_draft(room / "draft", claim)
    yard.store.leases.hand_over(claim, draft_key=key, progress=0.5)
    yard.blobs.study_path(job.study_key).parent.mkdir(parents=True, exist_ok=True)
    yard.blobs.study_path(job.study_key).write_bytes(b"image")
    return job, key


def test_what_a_stage_has_left_for_the_next_is_in_order(yard, bereft):
    yard.age()
    assert yard.check(repair=True) == []


def test_a_job_whose_draft_is_gone_is_prepared_again(yard, bereft):
    job, key = bereft
    shutil.rmtree(yard.root / "drafts" / key)
    assert yard.check() == [(Damage.DRAFT_MISSING, False)]
    assert yard.check(repair=True) == [(Damage.DRAFT_MISSING, True)]
    again = yard.store.leases.claim(owner="me", lease_s=60.0, queues=list(JobQueue))
    while again.job_id != job.id:  # others wait for another queue
        again = yard.store.leases.claim(owner="me", lease_s=60.0, queues=list(JobQueue))
    assert (again.queue, again.draft_key, again.attempt) == (JobQueue.PREPARE, None, 1)


def test_a_draft_that_no_job_goes_on_from_is_removed_once_it_is_old(yard, bereft):
    job, key = bereft
    yard.store.ending.cancel(job.id, tenant="default")
    assert yard.check(repair=True) == []
    yard.age()
    assert yard.check(repair=True) == [(Damage.DRAFT_ORPHAN, True)]
    assert not yard.blobs.has_draft(key)


def test_an_object_store_is_compared_and_mended_as_a_folder_is(object_store, parts):
    url = object_store.bucket("prefix")
    settings = parts.settings.model_copy(
        update={"blobs": BlobSettings(url=url, endpoint=object_store.url, cache_mb=64)}
    )
    parts.blobs = open_blobs(settings)
    parts.blobs.prepare()
    yard = Yard(parts)
    spoilt, lost = yard.keep(b"one"), yard.keep(b"first", b"second")
    yard.finish()
    assert yard.check(deep=True) == []
    shelf = parts.blobs._shelf
    found = obstore.get(shelf._store, (address := address_of(spoilt)))
    obstore.put(shelf._store, address, b"another", attributes=found.attributes)
    shelf._cache.drop(address)
    obstore.delete(shelf._store, address_of(lost))
    expected = [Damage.STUDY_CHANGED, Damage.STUDY_MISSING]
    assert sorted(yard.check(deep=True)) == [(damage, False) for damage in expected]
    assert sorted(yard.check(deep=True, repair=True)) == [(damage, True) for damage in expected]
    assert yard.check(deep=True) == []


def address_of(job):
    tenant, _, name = job.study_key.partition("/")
    return f"studies/{tenant}/{name[:2]}/{name}"
