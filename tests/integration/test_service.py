"""The whole service, with nothing replaced: processes, broker, database, pipeline."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile

import httpx2
import numpy as np
import pytest

from dras_client import Client, ProblemError, StudyRejected
from dras_model.choices import Choices
from dras_model.encoder.runtime import Encoder
from dras_model.library import open_atlas, open_bundle
from dras_model.pipeline import extract
from dras_model.results.codes import CODES, Kind
from integration.serving import FILES_OF_A_JOB, Serving, is_alive, wait_until

JOB_WITHIN_S = 180.0


@pytest.fixture
def client(serving):
    with Client(serving.url) as client:
        yield client


@pytest.fixture(scope="session")
def directly(study, library, tmp_path_factory):
    """The result of the pipeline called in this process, without any service."""
    out = tmp_path_factory.mktemp("direct") / "out"
    atlas = open_atlas(None)
    encoder = Encoder.open(open_bundle(None, atlas))
    return extract(study, out, atlas=atlas, encoder=encoder, choices=Choices(view=True)), out


def zip_of(folder):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(folder.iterdir()):
            zipped.write(path, f"some/folder/{path.name}")
    return archive.getvalue()


def dras(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "dras_cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_study_over_http_gives_the_numbers_of_the_pipeline_itself(client, study, directly, tmp_path, form):
    job = client.submit(study if form == "folder" else zip_of(study)).wait(JOB_WITHIN_S)
    result, (expected, folder) = job.result(), directly
    assert (result.status, result.scores, result.warnings) == (
        expected.status,
        expected.scores,
        expected.warnings,
    )
    assert [path.name for path in job.download(tmp_path)] == FILES_OF_A_JOB
    assert json.loads((tmp_path / "result.json").read_text()) == result.model_dump(mode="json")
    with np.load(tmp_path / "features.npz") as ours, np.load(folder / "features.npz") as theirs:
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"", "application/zip", 400, "EMPTY_UPLOAD"),
        (b"PK\x05\x06" + bytes(18), "application/zip", 400, "EMPTY_UPLOAD"),
        (b"hello", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"hello" * 10_000_000, "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"hello", "multipart/form-data; boundary=edge", 400, "MALFORMED_UPLOAD"),
        (b"PK\x03\x04" + bytes(100_000), "application/zip", 422, "ARCHIVE_INVALID"),
    ],
    ids=["empty", "empty zip", "text", "50 MB of text", "no form", "truncated zip"],
)
def test_a_bad_upload_is_refused_at_once_and_leaves_nothing(serving, content, content_type, status, code):
    before = serving.rows("SELECT count(*) FROM job")
    answer = httpx2.post(
        f"{serving.url}/v1/studies", content=content, headers={"Content-Type": content_type}, timeout=30
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert serving.rows("SELECT count(*) FROM job") == before
    assert serving.files("incoming") == []


@pytest.mark.parametrize("kind", ["text", "zip of text", "three slices"])
def test_a_study_that_cannot_be_computed_is_rejected_with_a_code_of_the_table(client, study, kind):
    content = {
        "text": b"this is no image",
        "zip of text": _zip_of_text(),
        "three slices": sorted(study.iterdir())[:3],
    }[kind]
    job = client.submit(content).wait(JOB_WITHIN_S)
    assert job.state == "rejected"
    with pytest.raises(StudyRejected) as rejection:
        job.result()
    assert CODES[rejection.value.study_code].kind is Kind.REFUSAL
    assert job.view.attempts == 1
    assert len(rejection.value.detail) > 10


def _zip_of_text():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("readme.txt", "no image")
    return archive.getvalue()


def test_a_client_that_leaves_in_mid_upload_leaves_neither_job_nor_file(serving):
    jobs, studies = serving.rows("SELECT count(*) FROM job"), serving.files("studies")
    host, _, port = serving.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/studies HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/zip\r\n"
            "Content-Length: 100000000\r\n\r\nPK\x03\x04".encode()
            + bytes(8 << 20)
        )
        wait_until(lambda: len(serving.files("incoming")) == 1, within_s=10, what="the upload has begun")
    wait_until(lambda: serving.files("incoming") == [], within_s=10, what="the upload is cleared away")
    assert serving.rows("SELECT count(*) FROM job") == jobs
    assert serving.files("studies") == studies


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["pool_pid", "worker_pid"])
def test_a_job_whose_worker_is_killed_is_taken_up_again_and_finished_once(serving, client, study, victim):
    job = client.submit(study, repeat=True)
    wait_until(lambda: job.status().stage is not None, within_s=60, what="the job runs")
    os.kill(getattr(serving, victim), signal.SIGKILL)
    job.wait(JOB_WITHIN_S)
    assert job.state == "succeeded_with_warnings"
    assert job.view.attempts >= 2
    assert serving.rows(f"SELECT count(*) FROM result WHERE job_id = '{job.id}'") == [(1,)]
    assert [path.name for path in serving.files("outputs") if path.name.startswith(job.id)] == [
        f"{job.id}-{job.view.attempts}"
    ]


def test_the_service_says_that_it_lives_and_is_ready(serving):
    assert httpx2.get(f"{serving.url}/healthz").json()["status"] == "ok"
    assert httpx2.get(f"{serving.url}/readyz").json()["ready"] is True


def test_submit_prints_the_result_as_json_and_saves_the_files(serving, study, tmp_path):
    done = dras("submit", str(study), "--url", serving.url, "-o", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded_with_warnings"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES_OF_A_JOB


def test_submit_of_a_rejected_study_ends_with_its_code_and_status_three(serving, tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    done = dras("submit", str(tmp_path / "note.txt"), "--url", serving.url, "--json")
    assert done.returncode == 3
    assert json.loads(done.stderr)["error"]["code"] == "NOT_DICOM"
    assert done.stdout == ""


def test_an_unknown_series_is_rejected_by_name(client, study):
    with pytest.raises(StudyRejected) as rejection:
        client.submit(study, series="1.2.3").wait(JOB_WITHIN_S).result()
    assert rejection.value.study_code == "SERIES_NOT_FOUND"


def test_a_limit_is_a_setting(library, tmp_path):
    serving = Serving(tmp_path / "data", DRAS_GATEWAY__MAX_UPLOAD_BYTES="1000")
    try:
        with Client(serving.url) as client, pytest.raises(ProblemError) as problem:
            client.submit(bytes(20_000_000))
        assert problem.value.code == "UPLOAD_TOO_LARGE"
    finally:
        assert serving.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_and_everything_it_started(library, tmp_path, number):
    serving = Serving(tmp_path / "data")
    pids = [serving.worker_pid, serving.pool_pid]
    assert serving.stop(number) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert "Traceback" not in serving.errors


def test_the_worker_ends_when_the_service_is_killed(library, tmp_path):
    serving = Serving(tmp_path / "data")
    pids = [serving.worker_pid, serving.pool_pid]
    serving.stop(signal.SIGKILL)
    wait_until(
        lambda: not any(is_alive(pid) for pid in pids), within_s=30, what="worker and child have ended"
    )


@pytest.mark.slow
def test_a_job_outlives_the_service_that_took_it(library, study, tmp_path):
    environment = {"DRAS_WORKER__LEASE_S": "20", "DRAS_QUEUE__SWEEP_INTERVAL_S": "0.2"}
    first = Serving(tmp_path / "data", **environment)
    with Client(first.url) as client:
        job_id = client.submit(study).id
    first.stop(signal.SIGKILL)
    second = Serving(tmp_path / "data", **environment)
    try:
        with Client(second.url) as client:
            assert client.job(job_id).wait(JOB_WITHIN_S).state == "succeeded_with_warnings"
    finally:
        second.stop()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--host", "0.0.0.0"], "INSECURE_BIND"),
        (["--host", "example.org"], "INSECURE_BIND"),
        (["--bundle", "no-such-bundle"], "BUNDLE_NOT_FOUND"),
        (["--atlas", "no-such-atlas"], "ATLAS_NOT_FOUND"),
    ],
    ids=str,
)
def test_a_service_that_cannot_start_says_why_and_ends_with_status_four(library, tmp_path, options, code):
    done = dras("serve", "--port", "0", "--data", str(tmp_path / "data"), "--json", *options)
    assert done.returncode == 4
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == code
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(library, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = dras("serve", "--port", port, "--data", str(tmp_path / "data"))
    assert done.returncode == 4
    assert "ADDRESS_IN_USE" in done.stderr


def test_a_misspelt_setting_is_said(tmp_path):
    done = dras("serve", "--data", str(tmp_path / "data"), DRAS_WORKER__LEESE_S="3")
    assert done.returncode == 4
    assert "SETTINGS_INVALID: These settings are invalid: DRAS_WORKER__LEESE_S (" in done.stderr


@pytest.mark.slow
def test_nothing_is_left_in_the_temporary_folder_of_the_system(library, study, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    serving = Serving(tmp_path / "data", TMPDIR=str(temporary))
    try:
        with Client(serving.url) as client:
            client.submit(zip_of(study)).wait(JOB_WITHIN_S).result()
    finally:
        serving.stop()
    left = [path for path in temporary.iterdir() if not path.name.startswith("matplotlib")]
    assert left == []
    shutil.rmtree(temporary)
