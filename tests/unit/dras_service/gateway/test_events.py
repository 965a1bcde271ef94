"""Event streams, spoken to through ASGI: a test client would wait for the end of a stream that has none."""

import asyncio
import json

import pytest

from dras_model.results.study import Stage
from dras_service.api.jobs import JobState
from dras_service.gateway.events import EventHub
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings
from dras_service.store.rows import JobEvent
from unit.dras_service.examples import claim_of, submit

SOON_S = 10.0


def parsed(text):
    """The events of a stream by the rules of HTML, 9.2.6: (id, data)."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            assert fields["event"] == "job"
            found.append((int(fields["id"]), json.loads(fields["data"])))
    return found


def told(client, path, last=None):
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    return parsed(answer.text)


@pytest.fixture
def ended(store):
    """A job that was queued, prepared, and rejected."""
    claim = claim_of(store)
    store.leases.advance(claim, Stage.LUNGS, progress=0.3, lease_s=60.0)
    store.leases.reject(claim, code="NOT_DICOM", message="No.")
    return claim.job_id


def test_the_events_of_a_job_are_its_changes_in_order_and_end_with_it(client, ended):
    events = told(client, f"/v1/jobs/{ended}/events")
    assert [(data["state"], data["stage"], data["code"]) for _, data in events] == [
        ("queued", None, None),
        ("preparing", None, None),
        ("preparing", "lungs", None),
        ("rejected", "lungs", "NOT_DICOM"),
    ]
    assert {data["job_id"] for _, data in events} == {ended}
    assert [number for number, _ in events] == sorted(number for number, _ in events)


def test_who_comes_back_hears_what_was_missed_and_nothing_twice(client, ended):
    everything = told(client, f"/v1/jobs/{ended}/events")
    for seen, (last, _) in enumerate(everything[:-1], start=1):
        assert told(client, f"/v1/jobs/{ended}/events", last) == everything[seen:]


def test_who_has_heard_the_end_is_told_to_stop_asking(client, ended):
    last, _ = told(client, f"/v1/jobs/{ended}/events")[-1]
    answer = client.get(f"/v1/jobs/{ended}/events", headers={"Last-Event-ID": str(last)})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("last", ["Doe", "-1", "1.5", str(2**63)])
def test_what_is_no_id_of_an_event_is_an_invalid_parameter(client, ended, last):
    answer = client.get(f"/v1/jobs/{ended}/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER")
    assert "Doe" not in answer.text


class Ear:
    """A listener of a hub, in the background."""

    def __init__(self, hub, tenant="default", **what):
        self.text = ""
        self.task = asyncio.create_task(self._listen(hub.listen(tenant, **what)))

    async def _listen(self, stream):
        async for block in stream:
            self.text += block.decode()

    @property
    def events(self):
        return parsed(self.text)

    async def until(self, n_events):
        async with asyncio.timeout(SOON_S):
            while len(self.events) < n_events:
                await asyncio.sleep(0.01)
        return self.events


def with_hub(store, scenario, **limits):
    async def run():
        hub = EventHub(store.events, GatewaySettings(event_poll_s=0.01, **limits))
        hub.start()
        try:
            return await scenario(hub)
        finally:
            await hub.stop()

    return asyncio.run(run())


def test_what_happens_while_one_listens_is_heard(store):
    async def scenario(hub):
        claim = claim_of(store)
        ear = Ear(hub, job_id=claim.job_id, after=0)
        await ear.until(2)
        for percent in range(1, 10):
            store.leases.advance(claim, Stage.LUNGS, progress=percent / 100, lease_s=60.0)
        store.leases.reject(claim, code="NOT_DICOM", message="No.")
        async with asyncio.timeout(SOON_S):
            await ear.task
        return ear.events

    events = with_hub(store, scenario)
    assert [data["progress"] for _, data in events[2:-1]] == [percent / 100 for percent in range(1, 10)]
    assert len({number for number, _ in events}) == len(events)


def test_a_listener_hears_its_tenants_jobs_only_and_from_now_on(store):
    store.tenants.create("other")

    async def scenario(hub):
        submit(store, "a")
        ears = [Ear(hub), Ear(hub, "other")]
        await asyncio.sleep(0.2)
        mine, theirs = submit(store, "b"), submit(store, "c", tenant="other")
        heard = [[data["job_id"] for _, data in await ear.until(1)] for ear in ears]
        assert heard == [[mine.id], [theirs.id]]
        await asyncio.sleep(0.1)
        return [len(ear.events) for ear in ears]

    assert with_hub(store, scenario) == [1, 1]


def test_a_job_of_another_tenant_is_silent(store):
    store.tenants.create("other")

    async def scenario(hub):
        job = submit(store)
        ear = Ear(hub, "other", job_id=job.id, after=0)
        await asyncio.sleep(0.2)
        return ear.events

    assert with_hub(store, scenario) == []


def test_a_silent_stream_shows_that_it_lives(store):
    async def scenario(hub):
        ear = Ear(hub)
        async with asyncio.timeout(SOON_S):
            while ear.text.count(": alive\n\n") < 3:
                await asyncio.sleep(0.01)
        return ear.events

    assert with_hub(store, scenario, heartbeat_s=0.02) == []


def test_there_are_no_more_listeners_than_allowed_and_none_is_left_behind(store):
    async def scenario(hub):
        ears = [Ear(hub) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(ProblemRaised) as raised:
            hub.check_room()
        ears[0].task.cancel()
        await asyncio.gather(ears[0].task, return_exceptions=True)
        hub.check_room()
        ears[1].task.cancel()
        await asyncio.gather(ears[1].task, return_exceptions=True)
        return raised.value.problem.code, hub.n_listeners

    assert with_hub(store, scenario, max_listeners=2) == ("TOO_BUSY", 0)


def test_all_streams_end_when_the_gateway_does(store):
    async def scenario(hub):
        ears = [Ear(hub) for _ in range(3)]
        await asyncio.sleep(0.1)
        hub.drain()
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*(ear.task for ear in ears))
        with pytest.raises(ProblemRaised) as raised:
            hub.check_room()
        return raised.value.problem.code

    assert with_hub(store, scenario) == "DRAINING"


class Flood:
    """A source that has more to tell than a listener may leave unread."""

    def __init__(self):
        self.n_events = 0

    def last_id(self, **_of):
        return 0

    def after(self, last_id, *, job_id=None, limit, **_of):
        ids = range(last_id + 1, min(self.n_events, last_id + limit) + 1)
        return tuple(JobEvent(n, "default", "job", 0.0, JobState.QUEUED, None, 0.0, 0, None) for n in ids)


def test_who_does_not_read_in_time_is_let_go_and_never_hears_past_a_gap():
    class Parts:
        events = Flood()

    async def scenario(hub):
        stream = hub.listen("default", after=0)
        heard = [await anext(stream)]
        waiting = asyncio.create_task(anext(stream))  # reads what was missed, nothing, and waits
        await asyncio.sleep(0.05)
        Parts.events.n_events = 1
        heard.append(await waiting)
        Parts.events.n_events = 5000
        await asyncio.sleep(0.5)
        heard.extend([block async for block in stream])
        return [number for number, _ in parsed(b"".join(heard).decode())]

    heard = with_hub(Parts, scenario)
    assert heard == list(range(1, len(heard) + 1))
    assert len(heard) < 5000


def test_a_stream_ends_after_a_while_and_who_comes_back_has_lost_nothing(store):
    async def scenario(hub):
        claim = claim_of(store)
        first = Ear(hub, job_id=claim.job_id, after=0)
        async with asyncio.timeout(SOON_S):
            await first.task
        store.leases.reject(claim, code="NOT_DICOM", message="No.")
        again = Ear(hub, job_id=claim.job_id, after=first.events[-1][0])
        return first.events, await again.until(1)

    before, after = with_hub(store, scenario, stream_limit_s=0.2)
    assert [data["state"] for _, data in before + after] == ["queued", "preparing", "rejected"]
