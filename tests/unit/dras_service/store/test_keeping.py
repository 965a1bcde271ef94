from concurrent.futures import ThreadPoolExecutor

import pytest

from dras_service.store.errors import QuotaExceeded, StoreUnavailable
from dras_service.store.keeping import keep
from dras_service.store.rows import Order, RequestKey


def take_in(parts, content=b"image", *, order=None, request=None, tenant="default"):
    with parts.blobs.receive() as incoming:
        incoming.write(content)
        return keep(
            incoming,
            order or Order(),
            tenant=tenant,
            submission=parts.store.submission,
            blobs=parts.blobs,
            request=request,
        )


def files(parts):
    return sorted(path.name for path in parts.settings.blob_folder.rglob("*") if path.is_file())


def purge(parts, job):
    parts.store.ending.cancel(job.id, tenant="default")
    parts.store.ending.purge(job.id, tenant="default")
    parts.store.ending.clear_studies(parts.blobs.remove_study)
    parts.blobs.empty_trash()


def test_an_upload_becomes_a_blob_and_a_job(parts):
    job = take_in(parts).job
    assert parts.blobs.study_path(job.study_key).read_bytes() == b"image"


def test_a_fault_of_the_database_leaves_no_blob(parts, monkeypatch):
    def away(*_args, **_options):
        raise StoreUnavailable("away")

    monkeypatch.setattr(parts.store.submission, "submit", away)
    with pytest.raises(StoreUnavailable):
        take_in(parts)
    assert [name for name in files(parts) if "sqlite" not in name] == []


def test_a_fault_leaves_the_blob_that_another_job_needs(parts, monkeypatch):
    job = take_in(parts).job
    parts.store.tenants.set_quotas("default", {"max_queued_jobs": 1})
    with pytest.raises(QuotaExceeded):
        take_in(parts, order=Order(repeat=True))
    assert parts.blobs.has_study(job.study_key)


def test_a_blob_that_is_purged_while_it_comes_again_is_kept_again(parts, monkeypatch):
    job = take_in(parts).job
    submit = parts.store.submission.submit

    def purge_first(*args, **options):
        monkeypatch.undo()
        purge(parts, job)
        return submit(*args, **options)

    monkeypatch.setattr(parts.store.submission, "submit", purge_first)
    again = take_in(parts)
    assert again.is_new
    assert parts.blobs.study_path(again.job.study_key).read_bytes() == b"image"


def test_the_answer_to_a_repeated_request_keeps_no_blob_that_was_purged(parts):
    request = RequestKey("key", "0" * 64)
    job = take_in(parts, request=request).job
    purge(parts, job)
    assert take_in(parts, request=request).job.id == job.id
    assert not parts.blobs.has_study(job.study_key)


def test_many_uploads_of_one_study_some_failing_leave_one_job_and_its_blob(parts, monkeypatch):
    submit = parts.store.submission.submit
    turns = iter(range(100))

    def sometimes(*args, **options):
        if next(turns) % 2:
            raise StoreUnavailable("away")
        return submit(*args, **options)

    monkeypatch.setattr(parts.store.submission, "submit", sometimes)

    def one(_number):
        try:
            return take_in(parts).job
        except StoreUnavailable:
            return None

    with ThreadPoolExecutor(8) as pool:
        jobs = {job.id: job for job in pool.map(one, range(24)) if job is not None}
    assert len(jobs) == 1
    assert parts.blobs.has_study(next(iter(jobs.values())).study_key)
