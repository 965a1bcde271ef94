"""The commands that speak to a service, against the real gateway without a network."""

import functools
import json

import pytest
from starlette.testclient import TestClient

from dras_cli.main import main
from dras_client import Client
from dras_service.gateway.app import create_app
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.store import Store
from unit.dras_service.examples import Hints, claim_of, find, submit

NOBODY = "0f0f6a1e-6a0d-4c0b-8a55-0a7f4f0f2a11"


@pytest.fixture
def store(tmp_path, monkeypatch):
    settings = Settings(data=tmp_path / "data")
    store = Store(open_engine(settings.store_url))
    store.migrate()
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    app = create_app(store=store, blobs=blobs, hints=Hints(), settings=settings)
    with TestClient(app) as gateway:
        client = functools.partial(Client, transport=gateway._transport)
        monkeypatch.setattr("dras_cli.service_options.Client", client)
        yield store
    store.close()


def answer(capsys, *arguments):
    status = main([*arguments, "--url", "http://testserver", "--json"])
    return status, capsys.readouterr()


def test_a_job_is_shown_listed_cancelled_and_followed(store, capsys):
    job = submit(store)
    _, said = answer(capsys, "status", job.id)
    assert json.loads(said.out)["state"] == "queued"
    _, said = answer(capsys, "jobs", "--state", "queued")
    assert [view["id"] for view in json.loads(said.out)] == [job.id]
    _, said = answer(capsys, "cancel", job.id)
    assert json.loads(said.out)["state"] == find(store, job.id).state == "cancelled"
    _, said = answer(capsys, "events", job.id)
    assert [json.loads(line)["state"] for line in said.out.splitlines()] == ["queued", "cancelled"]


def test_people_are_shown_the_same_in_words(store, capsys):
    claim = claim_of(store)
    main(["cancel", claim.job_id, "--url", "http://testserver"])
    assert "preparing (stopping)" in capsys.readouterr().out
    store.leases.end_cancelled(claim)
    main(["events", claim.job_id, "--url", "http://testserver"])
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"{claim.job_id} cancelled 0%")


def test_no_more_jobs_are_listed_than_were_asked_for(store, capsys):
    newest = [submit(store).id for _ in range(5)][:1:-1]
    _, said = answer(capsys, "jobs", "--limit", "3")
    assert sorted(view["id"] for view in json.loads(said.out)) == sorted(newest)


@pytest.mark.parametrize("command", ["status", "cancel", "events"])
def test_a_job_that_is_not_there_is_said(store, capsys, command):
    status, said = answer(capsys, command, NOBODY)
    assert status == 5
    assert json.loads(said.err)["error"]["code"] == "JOB_NOT_FOUND"


def test_wishes_reach_the_service(store, capsys, tmp_path):
    (tmp_path / "study").write_bytes(b"x")
    (tmp_path / "limits.toml").write_text("noise_hu = 35.0\nair_hu = [-1030.0, -960.0]\n")
    wishes = ["--phase", "expiration", "--no-harmonise", "--limits", str(tmp_path / "limits.toml")]
    more = ["--priority", "5", "--reference-volume-ml", "5500", "--dicom", "--timeout", "0"]
    status, _ = answer(capsys, "submit", str(tmp_path / "study"), *wishes, *more)
    assert status == 5  # nobody computes here: it gives up waiting
    (kept,) = store.jobs.page(tenant="default", limit=2).jobs
    assert kept.options == {
        "phase": "expiration",
        "harmonise": False,
        "reference_volume_ml": 5500.0,
        "limits": {"noise_hu": 35.0, "air_hu": [-1030.0, -960.0]},
        "dicom": True,
    }
    assert kept.priority == 5


@pytest.mark.parametrize("content", ["not = toml = at all", 'noise_hu = "Doe"'])
def test_limits_that_cannot_be_read_are_a_wrong_call(store, capsys, tmp_path, content):
    (tmp_path / "study").write_bytes(b"x")
    (tmp_path / "limits.toml").write_text(content)
    status, said = answer(
        capsys, "submit", str(tmp_path / "study"), "--limits", str(tmp_path / "limits.toml")
    )
    assert status == 2
    assert "Doe" not in said.err
