import pytest

from dras_model.results.study import Stage
from dras_service.settings import WorkerSettings
from dras_service.store.errors import Cancelled, LeaseLost, StorageFull, StoreUnavailable
from dras_service.worker.draining import Drain
from dras_service.worker.stages import Heartbeat, attempt, overall_progress
from unit.dras_service.examples import FakeEngine, claim_of, find


@pytest.fixture
def claim(store):
    return claim_of(store, series_uid="1.2")


def run(claim, parts, engine):
    attempt(
        claim,
        leases=parts.store.leases,
        blobs=parts.blobs,
        engine=engine,
        settings=parts.settings.worker,
        drain=Drain(grace_s=0.0),
    )


def folders(parts):
    root = parts.settings.blob_folder
    return [path.name for name in ("incoming", "outputs") for path in (root / name).iterdir()]


def test_progress_runs_from_zero_to_one_and_never_back_while_stages_run_in_order():
    values = [overall_progress(stage, fraction) for stage in Stage for fraction in (0.0, 0.5, 1.0)]
    assert values[0] == 0.0
    assert values[-1] == pytest.approx(1.0)
    assert values == sorted(values)


@pytest.mark.parametrize(("fraction", "as_if"), [(-1.0, 0.0), (2.0, 1.0)])
def test_a_fraction_out_of_range_is_taken_as_the_nearest_in_range(fraction, as_if):
    assert overall_progress(Stage.LUNGS, fraction) == overall_progress(Stage.LUNGS, as_if)


def test_the_result_and_its_files_are_committed_together(claim, parts):
    engine = FakeEngine()
    run(claim, parts, engine)
    outputs = parts.store.jobs.outputs(claim.job_id, tenant="default")
    assert [file.name for file in outputs.artifacts] == ["feature_map.nii.gz", "result.json"]
    assert engine.sources == [parts.blobs.study_path(claim.study_key)]
    assert folders(parts) == [f"{claim.job_id}-1"]


def test_the_study_is_encoded_by_the_bundle_that_the_job_names(parts):
    engine = FakeEngine()
    for bundle in (None, "drasclr"):
        run(claim_of(parts.store, bundle=bundle), parts, engine)
    assert engine.bundles == [None, "drasclr"]


def test_an_engine_that_fails_leaves_no_folder_behind(claim, parts):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(claim, parts, FakeEngine(fail))
    assert folders(parts) == []


def test_work_that_lost_its_lease_stops_at_its_next_report_and_commits_nothing(claim, parts):
    def lose():
        parts.clock.now += 61
        parts.store.sweeping.sweep(max_attempts=3, retry_delay_s=0.0)

    with pytest.raises(LeaseLost):
        run(claim, parts, FakeEngine(lose))
    assert parts.store.jobs.outputs(claim.job_id, tenant="default") is None
    assert folders(parts) == []


def test_work_on_a_cancelled_job_stops_at_its_next_report_and_leaves_nothing(claim, parts):
    def cancel():
        parts.store.ending.cancel(claim.job_id, tenant="default")

    with pytest.raises(Cancelled):
        run(claim, parts, FakeEngine(cancel))
    assert folders(parts) == []


@pytest.mark.parametrize("fault", [LeaseLost, Cancelled])
def test_a_job_lost_between_the_last_report_and_the_commit_discards_the_files(
    claim, parts, monkeypatch, fault
):
    def too_late(*_args, **_fields):
        raise fault

    monkeypatch.setattr(parts.store.leases, "commit", too_late)
    with pytest.raises(fault):
        run(claim, parts, FakeEngine())
    assert folders(parts) == []


def test_heartbeats_are_throttled_but_a_new_stage_is_told_at_once(claim, store, monkeypatch):
    told = []
    monkeypatch.setattr(store.leases, "advance", lambda _claim, stage, **_fields: told.append(stage))
    heartbeat = Heartbeat(claim, store.leases, WorkerSettings(heartbeat_s=3600.0), Drain(grace_s=1.0))
    for fraction in (0.0, 0.3, 0.6, 1.0):
        heartbeat(Stage.READ, fraction)
    heartbeat(Stage.LUNGS, 0.0)
    assert told == [Stage.READ, Stage.LUNGS]


def test_progress_that_was_shown_is_never_taken_back(claim, store):
    heartbeat = Heartbeat(claim, store.leases, WorkerSettings(heartbeat_s=1e-9), Drain(grace_s=1.0))
    heartbeat(Stage.ENCODE, 0.5)
    shown = find(store, claim.job_id).progress
    heartbeat(Stage.SCORES, 0.0)
    assert find(store, claim.job_id).progress == shown


@pytest.mark.parametrize("fault", [StoreUnavailable, StorageFull])
def test_a_database_that_is_away_for_a_moment_does_not_stop_the_work(claim, store, monkeypatch, fault):
    def away(*_args, **_fields):
        raise fault

    monkeypatch.setattr(store.leases, "advance", away)
    Heartbeat(claim, store.leases, WorkerSettings(), Drain(grace_s=1.0))(Stage.READ, 0.0)
