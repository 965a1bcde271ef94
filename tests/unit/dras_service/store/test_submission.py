from concurrent.futures import ThreadPoolExecutor

import pytest

from dras_service.api.jobs import JobState
from dras_service.store.errors import BlobGone, QuotaExceeded, RequestKeyReused, UnknownTenant
from dras_service.store.rows import Order, RequestKey, StoredStudy
from unit.dras_service.examples import bundle_view, find, outputs_of, stored_study, study_result, submit

REQUEST = RequestKey("key-1", "a" * 64)


def again(store, order=None, *, content="a", tenant="default", request=None):
    return store.submission.submit(
        stored_study(content, tenant=tenant), order or Order(), tenant=tenant, request=request
    )


def claimed(store):
    return store.leases.claim(owner="me", lease_s=60.0)


def test_a_submitted_job_is_queued_and_found_by_its_id(store):
    job = submit(store, series_uid="1.2.3", options={"harmonise": True}, priority=3)
    assert find(store, job.id) == job
    assert (job.state, job.attempts, job.progress) == (JobState.QUEUED, 0, 0.0)
    assert (job.series_uid, job.options, job.priority) == ("1.2.3", {"harmonise": True}, 3)


def test_the_same_request_again_is_the_same_job(store):
    first, second = again(store), again(store)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.job.id == second.job.id


def test_twenty_at_the_same_time_make_one_job(store):
    with ThreadPoolExecutor(20) as pool:
        submitted = list(pool.map(lambda _: again(store), range(20)))
    assert len({each.job.id for each in submitted}) == 1
    assert sum(each.is_new for each in submitted) == 1


@pytest.mark.parametrize(
    "order",
    [
        Order(series_uid="1.2"),
        Order(bundle="mine"),
        Order(options={"a": 1}),
        Order(repeat=True),
    ],
    ids=["series", "bundle", "options", "repeat"],
)
def test_a_request_that_could_give_another_result_is_another_job(store, order):
    assert again(store).job.id != again(store, order).job.id


def test_another_content_is_another_job_and_another_priority_is_not(store):
    first = again(store)
    assert again(store, content="b").is_new
    assert again(store, Order(priority=9)).job.id == first.job.id


def test_the_default_bundle_is_the_one_it_is_now_and_the_same_by_its_name(store):
    store.bundles.offer((bundle_view("one", is_default=True),))
    unnamed = again(store)
    assert again(store, Order(bundle="one")).job.id == unnamed.job.id
    other = bundle_view("two", is_default=True).model_copy(update={"sha256": "f" * 64})
    store.bundles.offer((other,))
    assert again(store).is_new


@pytest.mark.parametrize("end", ["fail", "cancel", "quarantine"])
def test_what_ended_badly_does_not_stand_in_the_way_of_another_try(store, clock, end):
    first = again(store).job
    if end == "fail":
        store.leases.fail(claimed(store), code="INTERNAL", message="")
    elif end == "cancel":
        store.ending.cancel(first.id, tenant="default")
    else:
        claimed(store)
        clock.now += 61
        store.sweeping.sweep(max_attempts=1, retry_delay_s=1.0)
    assert again(store).is_new


def test_a_refused_study_is_refused_once(store):
    first = again(store).job
    store.leases.reject(claimed(store), code="NOT_DICOM", message="")
    assert again(store).job.id == first.id
    assert again(store).job.state is JobState.REJECTED


def test_a_finished_job_stands_for_its_request_until_it_is_purged(store):
    first = again(store).job
    claim = claimed(store)
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    assert again(store).job.id == first.id
    assert store.ending.purge(first.id, tenant="default")
    assert again(store).is_new


def test_a_job_that_is_to_stop_stands_for_its_request_no_longer(store):
    first = again(store).job
    claimed(store)
    store.ending.cancel(first.id, tenant="default")
    assert again(store).is_new


def test_an_idempotency_key_gives_the_same_job_whatever_became_of_it(store):
    first = again(store, Order(repeat=True), request=REQUEST).job
    store.ending.cancel(first.id, tenant="default")
    second = again(store, Order(repeat=True), request=REQUEST)
    assert (second.job.id, second.is_new) == (first.id, False)
    assert store.submission.earlier("default", REQUEST).id == first.id


def test_an_idempotency_key_with_another_request_is_refused(store):
    again(store, request=REQUEST)
    with pytest.raises(RequestKeyReused):
        again(store, content="b", request=RequestKey(REQUEST.key, "b" * 64))
    with pytest.raises(RequestKeyReused):
        store.submission.earlier("default", RequestKey(REQUEST.key, "b" * 64))


def test_an_idempotency_key_is_the_tenants_own(store):
    store.tenants.create("other")
    ours = again(store, request=REQUEST)
    theirs = again(store, tenant="other", request=REQUEST)
    assert theirs.is_new
    assert ours.job.id != theirs.job.id


def test_the_same_content_of_two_tenants_is_two_studies(store):
    store.tenants.create("other")
    ours, theirs = again(store).job, again(store, tenant="other").job
    assert ours.study_key != theirs.study_key
    assert store.jobs.study(ours.study_key, tenant="other") is None


def test_nothing_is_submitted_for_a_tenant_that_does_not_exist(store):
    with pytest.raises(UnknownTenant):
        again(store, tenant="nobody")


def test_a_study_whose_blob_has_gone_makes_no_job(store):
    with pytest.raises(BlobGone):
        store.submission.submit(stored_study(), tenant="default", is_kept=lambda: False)
    assert store.jobs.page(tenant="default", limit=10).jobs == ()
    assert store.jobs.study(stored_study().key, tenant="default") is None


def test_the_queue_of_a_tenant_is_no_longer_than_its_quota(store):
    store.tenants.set_quotas("default", {"max_queued_jobs": 2})
    submit(store)
    submit(store)
    with pytest.raises(QuotaExceeded) as exceeded:
        submit(store)
    assert (exceeded.value.quota, exceeded.value.limit) == ("max_queued_jobs", 2)
    claimed(store)
    submit(store)


def test_a_tenant_stores_no_more_than_its_quota_and_a_known_study_takes_no_room(store):
    store.tenants.set_quotas("default", {"max_stored_bytes": 25})
    submit(store, "a")
    submit(store, "b")
    submit(store, "b")
    with pytest.raises(QuotaExceeded) as exceeded:
        submit(store, "c")
    assert exceeded.value.quota == "max_stored_bytes"
    assert store.tenants.usage("default").stored_bytes == 20


def test_a_known_request_is_answered_even_where_the_quota_is_reached(store):
    store.tenants.set_quotas("default", {"max_queued_jobs": 1})
    first = again(store)
    assert again(store).job.id == first.job.id


def test_quotas_hold_even_for_many_at_the_same_time(store):
    store.tenants.set_quotas("default", {"max_queued_jobs": 5})

    def one(_number):
        try:
            return submit(store)
        except QuotaExceeded:
            return None

    with ThreadPoolExecutor(12) as pool:
        made = [job for job in pool.map(one, range(12)) if job is not None]
    assert len(made) == 5


def test_a_study_is_discarded_only_where_no_job_speaks_of_it(store):
    removed = []
    submit(store)
    assert not store.submission.discard(stored_study().key, lambda: removed.append("known"), tenant="default")
    assert store.submission.discard("default/other", lambda: removed.append("other"), tenant="default")
    assert removed == ["other"]


def test_more_bytes_than_fit_into_32_bits_are_counted(store):
    study = StoredStudy("default/" + "d" * 64, "d" * 64, 5 << 30, 1)
    store.submission.submit(study, tenant="default")
    assert store.tenants.usage("default").stored_bytes == 5 << 30
