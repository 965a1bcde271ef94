import pytest
from starlette.testclient import TestClient

from dras_model.results.study import Stage
from dras_service.gateway.app import create_app
from dras_service.observability.metrics import Metrics
from dras_service.store.errors import StoreUnavailable
from unit.dras_service.examples import claim_of, outputs_of, study_result, submit


class Reading:
    """What a scrape says, by name and labels."""

    def __init__(self, text: str) -> None:
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        self.values = {name: float(value) for name, _, value in lines}

    def __getitem__(self, name: str) -> float | None:
        return self.values.get(name)


@pytest.fixture
def metrics(store, clock):
    return Metrics(store.numbers, clock=clock)


@pytest.fixture
def scrape(metrics, clock):
    def read() -> Reading:
        clock.now += 1.5  # younger events are not settled yet
        return Reading(metrics.exposition().decode())

    read()
    return read


def test_the_depth_of_the_queue_and_the_age_of_its_oldest_are_those_of_the_rows(store, clock, scrape):
    for content in "abc":
        submit(store, content)
    clock.now += 98.5
    found = scrape()
    assert found['dras_jobs{queue="study",state="queued"}'] == 3
    assert found['dras_oldest_job_seconds{queue="study",state="queued"}'] == 100.0
    assert found["dras_letters_waiting"] == 3
    assert found["dras_stored_bytes"] == 30


def test_a_lease_is_counted_as_held_and_then_as_expired(store, clock, scrape):
    claim_of(store, lease_s=60.0)
    found = scrape()
    assert (found["dras_leases"], found["dras_leases_expired"]) == (1, 0)
    clock.now += 60
    found = scrape()
    assert (found["dras_leases"], found["dras_leases_expired"]) == (0, 1)


def test_waiting_stages_and_the_whole_are_timed_by_the_events(store, clock, scrape):
    submit(store)
    clock.now += 4
    claim = store.leases.claim(owner="me", lease_s=600.0)
    store.leases.advance(claim, Stage.READ, progress=0.1, lease_s=600.0)
    clock.now += 2
    store.leases.advance(claim, Stage.READ, progress=0.2, lease_s=600.0)
    clock.now += 1
    store.leases.advance(claim, Stage.LUNGS, progress=0.3, lease_s=600.0)
    clock.now += 5
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    found = scrape()
    assert found["dras_queue_wait_seconds_sum"] == 4.0
    assert found['dras_stage_seconds_sum{stage="read"}'] == 3.0
    assert found['dras_stage_seconds_count{stage="read"}'] == 1
    assert found['dras_stage_seconds_sum{stage="lungs"}'] == 5.0
    assert found['dras_job_seconds_sum{state="succeeded_with_warnings"}'] == 12.0
    assert found['dras_jobs_ended_total{code="",state="succeeded_with_warnings"}'] == 1


def test_a_job_that_is_refused_in_a_stage_has_ended_and_so_has_the_stage(store, scrape):
    scrape()
    claim = claim_of(store)
    store.leases.advance(claim, Stage.READ, progress=0.1, lease_s=600.0)
    scrape()
    store.leases.reject(claim, code="TOO_FEW_SLICES", message="No.")
    found = scrape()
    assert found['dras_jobs_ended_total{code="TOO_FEW_SLICES",state="rejected"}'] == 1
    assert found['dras_stage_seconds_count{stage="read"}'] == 1
    assert found['dras_job_seconds_count{state="rejected"}'] == 1


def test_events_are_counted_once_however_often_somebody_looks(store, clock, scrape):
    claim = claim_of(store)
    store.leases.reject(claim, code="NOT_DICOM", message="No.")
    for _ in range(3):
        found = scrape()
    assert found['dras_jobs_ended_total{code="NOT_DICOM",state="rejected"}'] == 1


def test_retries_and_quarantines_are_counted(store, clock, scrape):
    claim_of(store, lease_s=1.0)
    for _ in range(3):
        clock.now += 100
        store.sweeping.sweep(max_attempts=3, retry_delay_s=0.0)
        store.leases.claim(owner="me", lease_s=1.0)
    found = scrape()
    assert found["dras_retries_total"] == 2
    assert found['dras_jobs_ended_total{code="WORKER_LOST",state="quarantined"}'] == 1
    assert found['dras_jobs{queue="study",state="quarantined"}'] == 1


def test_what_happened_before_the_start_is_not_counted_twice_by_a_restart(store, clock, scrape):
    claim = claim_of(store)
    store.leases.reject(claim, code="NOT_DICOM", message="No.")
    scrape()
    again = Metrics(store.numbers, clock=clock)
    again.exposition()
    assert "NOT_DICOM" not in again.exposition().decode()


def test_a_worker_shows_its_gauges_by_device_and_how_long_it_was_not_seen(store, clock, scrape):
    gauges = {"resident_bytes": 5e8, "gpu_utilisation_ratio@0": 0.5, "gpu_utilisation_ratio@1": 0.25}
    store.numbers.seen("host:1", started_at=clock.now, gauges=gauges)
    clock.now += 28.5
    found = scrape()
    assert found['dras_worker_seen_seconds{worker="host:1"}'] == 30.0
    assert found['dras_worker_resident_bytes{device="",worker="host:1"}'] == 5e8
    assert found['dras_worker_gpu_utilisation_ratio{device="1",worker="host:1"}'] == 0.25
    store.numbers.gone("host:1")
    assert scrape()['dras_worker_seen_seconds{worker="host:1"}'] is None


def test_without_its_database_a_gateway_still_says_what_it_knows(store, metrics, scrape, monkeypatch):
    def fail(*_args, **_fields):
        raise StoreUnavailable("away")

    metrics.http.uploads.labels("accepted").inc()
    monkeypatch.setattr(store.numbers, "queue", fail)
    found = scrape()
    assert found["dras_database_up"] == 0
    assert found['dras_uploads_total{outcome="accepted"}'] == 1
    assert found["dras_leases"] is None


@pytest.fixture
def client(parts):
    app = create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=parts.settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_requests_are_counted_by_template_and_nothing_a_client_sends_becomes_a_label(
    client, monkeypatch, store
):
    client.get("/v1/jobs/Doe%5EJane/result?name=Doe")
    client.get("/Doe%5EJane")
    client.request("DOE", "/v1/jobs")
    client.post("/v1/studies", content=b"12345", headers={"Content-Type": "application/dicom"})
    client.post("/v1/studies", content=b"", headers={"Content-Type": "application/dicom"})
    text = client.get("/metrics").text
    found = Reading(text)
    assert "Doe" not in text
    assert "DOE" not in text
    assert found['dras_http_requests_total{method="GET",route="/v1/jobs/{job_id}/result",status="404"}'] == 1
    assert found['dras_http_requests_total{method="GET",route="other",status="404"}'] == 1
    assert found['dras_http_requests_total{method="other",route="/v1/jobs",status="405"}'] == 1
    assert found['dras_http_received_bytes_total{method="POST",route="/v1/studies"}'] == 5
    assert found['dras_uploads_total{outcome="accepted"}'] == 1
    assert found['dras_uploads_total{outcome="refused"}'] == 1


def test_a_defect_is_counted_as_a_500(client, store, monkeypatch):
    def fail(*_args, **_fields):
        raise RuntimeError("defect")

    monkeypatch.setattr(store.jobs, "find", fail)
    client.get("/v1/jobs/1")
    found = Reading(client.get("/metrics").text)
    assert found['dras_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="500"}'] == 1


def test_a_request_is_one_line_of_the_log_without_what_was_asked(client, caplog):
    with caplog.at_level("INFO", logger="dras_service.observability.http"):
        client.get("/v1/jobs/Doe%5EJane/result?name=Doe")
    (record,) = [record for record in caplog.records if record.name == "dras_service.observability.http"]
    assert record.msg == "request answered"
    assert record.fields["route"] == "/v1/jobs/{job_id}/result"
    assert (record.fields["status"], record.fields["actor"]) == (404, "local")
    assert "Doe" not in str(record.__dict__)
