import subprocess
import sys

import pytest

from dras_client import (
    ArtifactNotFound,
    Client,
    DownloadCorrupt,
    InvalidAddress,
    JobFailed,
    JobNotFound,
    ProblemError,
    ResultNotReady,
    StudyRejected,
    UnknownBundle,
    WaitTimedOut,
)
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_service.api.jobs import JobState
from dras_service.api.options import JobOptions
from dras_service.worker.tasks import Doorman
from unit.dras_service.examples import FakeEngine, bundle_view, claim_of, find, study_result, submit


def run_next(parts, first=lambda: None):
    doorman = Doorman(
        leases=parts.store.leases,
        blobs=parts.blobs,
        engine=FakeEngine(first),
        settings=parts.settings.worker,
    )
    doorman.admit("any hint")


def content_of(parts, job):
    path = parts.blobs.study_path(find(parts.store, job.id).study_key)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file.read_bytes() for file in files]


def test_bytes_a_file_a_folder_and_a_list_all_arrive(client, parts, tmp_path):
    folder = tmp_path / "study"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "1").write_bytes(b"one")
    (folder / "deep" / "er" / "2").write_bytes(b"two" * 500_000)
    assert content_of(parts, client.submit(b"bytes")) == [b"bytes"]
    assert content_of(parts, client.submit(folder / "1")) == [b"one"]
    assert content_of(parts, client.submit(str(folder))) == [b"one", b"two" * 500_000]
    assert content_of(parts, client.submit([folder / "1", folder / "1"])) == [b"one", b"one"]


def test_the_series_that_is_asked_for_arrives(client, parts):
    assert find(parts.store, client.submit(b"x", series="1.2.3").id).series_uid == "1.2.3"


def test_the_bundle_that_is_asked_for_arrives_and_is_shown(client, parts):
    parts.store.bundles.offer((bundle_view("mine", is_default=True), bundle_view("drasclr")))
    assert [view.name for view in client.bundles()] == ["mine", "drasclr"]
    job = client.submit(b"x", bundle="drasclr")
    assert find(parts.store, job.id).bundle == job.view.bundle == "drasclr"
    assert client.submit(b"y").view.bundle is None


def test_a_bundle_that_is_not_offered_is_an_exception_of_its_own(client, parts):
    parts.store.bundles.offer((bundle_view("mine", is_default=True), bundle_view("drasclr")))
    with pytest.raises(UnknownBundle, match="Offered are mine, drasclr"):
        client.submit(b"x", bundle="other")


def test_progress_of_an_upload_grows_to_the_whole(client, tmp_path):
    (tmp_path / "a").write_bytes(bytes(700_000))
    (tmp_path / "b").write_bytes(bytes(300_000))
    told = []
    client.submit(
        [tmp_path / "a", tmp_path / "b"], on_progress=lambda sent, total: told.append((sent, total))
    )
    sent = [so_far for so_far, _ in told]
    assert sent == sorted(sent)
    assert told[-1][0] == told[-1][1]
    assert len({total for _, total in told}) == 1


def test_a_job_is_waited_for_and_its_result_is_a_model(client, parts):
    job = client.submit(b"x")
    run_next(parts)
    assert job.state is JobState.QUEUED
    assert job.wait().result() == study_result()
    assert job.state is JobState.SUCCEEDED_WITH_WARNINGS


def test_waiting_tells_each_state_it_sees(client, parts):
    job = client.submit(b"x")
    seen = []

    def on_progress(view):
        seen.append(view.state)
        if len(seen) == 2:
            run_next(parts)

    job.wait(on_progress=on_progress)
    assert seen == [JobState.QUEUED, JobState.QUEUED, JobState.SUCCEEDED_WITH_WARNINGS]


def test_waiting_ends_when_its_time_is_over(client):
    with pytest.raises(WaitTimedOut):
        client.submit(b"x").wait(timeout_s=0.0)


def test_what_cannot_be_fetched_is_told_apart(client, parts):
    rejected, failed, waiting = (client.submit(content) for content in (b"1", b"2", b"3"))

    def refuse():
        raise StudyRefused(Code.NOT_DICOM, n_files=1)

    def fail():
        raise ValueError

    run_next(parts, refuse)
    run_next(parts, fail)
    with pytest.raises(ResultNotReady):
        waiting.result()
    with pytest.raises(StudyRejected) as rejection:
        rejected.wait().result()
    with pytest.raises(JobFailed) as failure:
        failed.wait().artifacts()
    assert rejection.value.study_code == "NOT_DICOM"
    assert failure.value.study_code == "INTERNAL"


def test_a_file_of_the_result_is_saved_as_it_is(client, parts, tmp_path):
    job = client.submit(b"x")
    run_next(parts)
    assert job.artifact("feature_map.nii.gz", tmp_path / "map.nii.gz").read_bytes() == b"nifti"
    with pytest.raises(ArtifactNotFound):
        job.artifact("nothing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_all_files_are_downloaded_and_nothing_else_is_left(client, parts, tmp_path):
    job = client.submit(b"x")
    run_next(parts)
    saved = job.download(tmp_path / "new" / "folder")
    assert [path.name for path in saved] == ["feature_map.nii.gz", "result.json"]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == saved


def test_a_file_that_was_changed_on_its_way_is_not_kept(client, parts, tmp_path):
    job = client.submit(b"x")
    run_next(parts)
    outputs = parts.store.jobs.outputs(job.id, tenant="default")
    parts.blobs.output_path(outputs, outputs.artifacts[0]).write_bytes(b"other")
    with pytest.raises(DownloadCorrupt):
        job.artifact("feature_map.nii.gz", tmp_path / "map.nii.gz")
    assert not (tmp_path / "map.nii.gz").exists()


def test_a_job_is_found_again_by_its_id(client):
    job = client.submit(b"x")
    assert client.job(job.id).status() == job.view
    with pytest.raises(JobNotFound):
        client.job("nothing")


def test_a_refusal_of_the_upload_is_a_problem_with_its_code(client):
    with pytest.raises(ProblemError) as problem:
        client.submit(b"x", series="not a uid")
    assert (problem.value.code, problem.value.status) == ("INVALID_PARAMETER", 422)


def test_the_service_says_its_version(client):
    assert client.health().status == "ok"


@pytest.mark.parametrize("url", ["ftp://host", "localhost:8042", "http://", "", "http://host:port"])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(InvalidAddress):
        Client(url)


def test_the_sdk_loads_nothing_heavy():
    heavy = (
        "torch",
        "SimpleITK",
        "scipy",
        "matplotlib",
        "fastapi",
        "celery",
        "sqlalchemy",
        "numpy",
        "onnxruntime",
    )
    code = f"import sys, dras_client; print(*[name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_wishes_arrive_as_they_were_said(client, parts):
    options = JobOptions(
        phase="expiration", harmonise=False, reference_volume_ml=5500.5, limits={"air_hu": (-1030.0, -960.0)}
    )
    kept = find(parts.store, client.submit(b"x", options=options, priority=-3).id)
    assert JobOptions.model_validate(kept.options) == options
    assert kept.priority == -3


def test_wishes_may_be_said_by_name(client, parts):
    said = {"phase": "expiration", "harmonise": False}
    kept = find(parts.store, client.submit(b"x", options=said).id)
    assert JobOptions.model_validate(kept.options) == JobOptions(phase="expiration", harmonise=False)
    with pytest.raises(ValueError, match="phases"):
        client.submit(b"y", options={"phases": "expiration"})
    assert len(list(client.jobs())) == 1


def test_the_same_study_again_is_the_same_job_unless_another_is_wanted(client):
    first, again, other = client.submit(b"x"), client.submit(b"x"), client.submit(b"x", repeat=True)
    assert first.id == again.id != other.id


def test_all_jobs_are_listed_over_as_many_pages_as_it_takes(client, parts):
    made = [submit(parts.store).id for _ in range(120)]
    assert sorted(job.id for job in client.jobs()) == sorted(made)
    assert list(client.jobs(states=[JobState.FAILED])) == list(client.jobs(states=["failed"])) == []
    assert len(list(client.jobs(states=[JobState.FAILED, JobState.QUEUED]))) == 120


def test_a_job_is_cancelled_and_removed(client, parts):
    job = client.submit(b"x")
    assert (job.cancel().state, job.state) == ("cancelled", "cancelled")
    job.remove()
    with pytest.raises(JobNotFound):
        client.job(job.id)


def test_a_job_that_has_not_ended_is_not_removed(client):
    with pytest.raises(ProblemError) as problem:
        client.submit(b"x").remove()
    assert problem.value.code == "JOB_NOT_FINAL"


def test_the_events_of_a_job_are_heard_to_its_end(client, parts):
    claim = claim_of(parts.store)
    parts.store.leases.reject(claim, code="NOT_DICOM", message="No.")
    heard = list(client.events(claim.job_id))
    assert [event.state for event in heard] == ["queued", "preparing", "rejected"]
    assert heard[-1].code == "NOT_DICOM"
    with pytest.raises(JobNotFound):
        next(client.events("nothing"))
