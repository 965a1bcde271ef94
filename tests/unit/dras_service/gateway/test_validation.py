import asyncio
import zipfile
from io import BytesIO

import pytest

from dras_model.inspecting import inspect
from dras_service.gateway import validation
from dras_service.gateway.problems import ProblemRaised
from dras_service.gateway.validation import Inspector
from dras_service.settings import GatewaySettings


def left_in(parts):
    return [path for path in parts.settings.blob_folder.rglob("*") if path.is_file()]


def zipped(folder):
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    return archive.getvalue()


def test_a_study_is_told_as_the_pipeline_itself_would_use_it_and_nothing_is_kept(
    client, parts, phantom_study
):
    content = zipped(phantom_study)
    answer = client.post("/v1/validate", content=content, headers={"Content-Type": "application/zip"})
    found = answer.json()
    assert (answer.status_code, found["usable"], found["refusal"]) == (200, True, None)
    assert (found["n_files"], found["size_bytes"]) == (1, len(content))
    assert found["inspection"] == inspect(phantom_study).model_dump(mode="json")
    assert left_in(parts) == []
    assert list((parts.settings.blob_folder / "incoming").iterdir()) == []
    assert parts.store.jobs.page(tenant="default", limit=1).jobs == ()


def test_a_study_that_would_be_refused_is_told_with_the_jobs_own_code(client, parts):
    answer = client.post("/v1/validate", files=[("file", ("a", b"no image")), ("file", ("b", b"Doe^Jane"))])
    found = answer.json()
    assert (answer.status_code, found["usable"], found["refusal"]["code"]) == (200, False, "NOT_DICOM")
    assert found["n_files"] == 2
    assert "Doe" not in answer.text
    assert left_in(parts) == []


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "text/plain"}, b"x", 415),
        ({"Content-Type": "application/zip"}, b"", 400),
        ({"Content-Type": "application/zip"}, b"PK\x03\x04 cut off", 422),
    ],
)
def test_what_no_job_is_made_of_is_not_looked_at_either(client, headers, content, status):
    assert client.post("/v1/validate", content=content, headers=headers).status_code == status


def code_of(inspector, path):
    with pytest.raises(ProblemRaised) as raised:
        asyncio.run(inspector.inspect(path, series_uid=None))
    return raised.value.problem.code


def test_a_look_that_takes_too_long_is_ended_with_all_it_has_started(blobs, tmp_path, monkeypatch):
    processes = []
    start = asyncio.create_subprocess_exec

    async def remember(*args, **options):
        processes.append(await start(*args, **options))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    inspector = Inspector(blobs, GatewaySettings(validation_limit_s=0.05))
    assert code_of(inspector, tmp_path) == "VALIDATION_FAILED"
    assert processes[0].returncode == -9


def test_no_more_are_looked_at_at_once_than_allowed(blobs, tmp_path):
    inspector = Inspector(blobs, GatewaySettings(max_validations=1, validation_limit_s=0.5))

    async def twice():
        first = asyncio.create_task(inspector.inspect(tmp_path, series_uid=None))
        await asyncio.sleep(0.05)
        with pytest.raises(ProblemRaised) as raised:
            await inspector.inspect(tmp_path, series_uid=None)
        await asyncio.gather(first, return_exceptions=True)
        return raised.value.problem.code

    assert asyncio.run(twice()) == "TOO_BUSY"


def test_a_gateway_without_the_imaging_stack_says_that_it_looks_at_no_study(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "find_spec", lambda _name: None)
    assert code_of(Inspector(blobs, GatewaySettings()), tmp_path) == "VALIDATION_NOT_OFFERED"
