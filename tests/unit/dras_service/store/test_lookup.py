import pytest

from dras_service.api.jobs import JobState
from dras_service.store.lookup import InvalidCursor
from dras_service.store.rows import JobFilter
from unit.dras_service.examples import claim_of, submit


def pages(store, chosen=None, *, limit, between=lambda: None):
    found, cursor = [], None
    while True:
        page = store.jobs.page(chosen or JobFilter(), tenant="default", cursor=cursor, limit=limit)
        found.append([job.id for job in page.jobs])
        if page.cursor is None:
            return found
        cursor = page.cursor
        between()


def test_an_unknown_id_finds_nothing(store):
    assert store.jobs.find("no-such-job", tenant="default") is None
    assert store.jobs.document("no-such-job", tenant="default") is None
    assert store.jobs.outputs("no-such-job", tenant="default") is None
    assert store.jobs.study("no-such-study", tenant="default") is None


def test_a_job_of_another_tenant_is_not_there(store):
    store.tenants.create("other")
    job = submit(store)
    assert store.jobs.find(job.id, tenant="other") is None
    assert store.jobs.page(tenant="other", limit=10).jobs == ()


@pytest.mark.parametrize("step_s", [1.0, 0.0], ids=["apart", "at the same moment"])
def test_pages_hold_every_job_once_newest_first_whatever_comes_meanwhile(store, clock, step_s):
    jobs = []
    for _ in range(7):
        jobs.append(submit(store))
        clock.now += step_s

    def another():
        clock.now += 1
        submit(store)

    found = pages(store, limit=3, between=another)
    expected = sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)
    assert [job_id for page in found for job_id in page] == [job.id for job in expected]
    assert [len(page) for page in found] == [3, 3, 1]


def test_a_last_page_that_is_full_has_no_cursor(store):
    for _ in range(4):
        submit(store)
    assert [len(page) for page in pages(store, limit=2)] == [2, 2]


def test_filters_are_by_state_code_and_time(store, clock):
    rejected = claim_of(store)
    store.leases.reject(rejected, code="NOT_DICOM", message="")
    clock.now += 100
    queued = submit(store)

    def ids(**chosen):
        return [job_id for page in pages(store, JobFilter(**chosen), limit=10) for job_id in page]

    assert ids(states=frozenset({JobState.QUEUED})) == [queued.id]
    assert ids(states=frozenset({JobState.QUEUED, JobState.REJECTED})) == [queued.id, rejected.job_id]
    assert ids(code="NOT_DICOM") == [rejected.job_id]
    assert ids(since=1100.0) == [queued.id]
    assert ids(until=1100.0) == [rejected.job_id]
    assert ids(code="NO_SUCH") == []


@pytest.mark.parametrize("cursor", ["", "x", "e30=", "WzFd", "WyJhIiwgImIiXQ==", "é", "bnVsbA=="])
def test_a_cursor_that_was_never_given_out_is_refused(store, cursor):
    with pytest.raises(InvalidCursor):
        store.jobs.page(tenant="default", cursor=cursor, limit=1)
