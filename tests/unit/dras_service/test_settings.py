import json
from pathlib import Path

import pytest

from dras_service.errors import CannotServe
from dras_service.settings import Settings, WorkerSettings, read_settings


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch):
    for topic in ("DATA", "STORE", "BLOBS", "QUEUE", "GATEWAY", "WORKER", "GATEWAY__PORT", "STORE__URL"):
        monkeypatch.delenv(f"DRAS_{topic}", raising=False)


def test_everything_lies_in_the_data_folder_by_default(monkeypatch):
    monkeypatch.setenv("DRAS_DATA", "/somewhere")
    settings = Settings()
    assert settings.store_url == "sqlite:////somewhere/jobs.sqlite3"
    assert settings.blob_folder == Path("/somewhere/blobs")
    assert settings.queue_folder == Path("/somewhere/queue")


def test_a_topic_is_read_by_its_nested_name(monkeypatch):
    monkeypatch.setenv("DRAS_GATEWAY__PORT", "9000")
    monkeypatch.setenv("DRAS_STORE__URL", "postgresql+psycopg://db/dras")
    settings = Settings()
    assert settings.gateway.port == 9000
    assert settings.store_url == "postgresql+psycopg://db/dras"


def test_another_process_reads_the_very_same_settings_from_the_environment(monkeypatch, tmp_path):
    settings = Settings(data=tmp_path, worker=WorkerSettings(lease_s=3.5, bundle="mine", threads=2))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DRAS_GATEWAY__PORT", "70000", "DRAS_GATEWAY__PORT (Input should be less"),
        ("DRAS_WORKER__LEASE_S", "0", "DRAS_WORKER__LEASE_S ("),
        ("DRAS_WORKER__LEESE_S", "3", "DRAS_WORKER__LEESE_S ("),
        ("DRAS_QUEUE__URL", "amqp://broker", "DRAS_QUEUE__URL ("),
        ("DRAS_WORKER", "{", "JSON"),
    ],
)
def test_a_setting_out_of_range_misspelt_or_unreadable_is_refused_in_a_sentence(
    monkeypatch, name, value, said
):
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotServe) as refusal:
        read_settings()
    assert refusal.value.code == "SETTINGS_INVALID"
    assert said in str(refusal.value)


@pytest.mark.parametrize("offered", [["a", "/elsewhere/a"], ["mine/"], ["a b"], ["../.."], [""]])
def test_bundles_that_could_not_be_told_apart_or_named_are_invalid(monkeypatch, offered):
    monkeypatch.setenv("DRAS_WORKER__BUNDLE", "/default/mine")
    monkeypatch.setenv("DRAS_WORKER__OFFERED", json.dumps(offered))
    with pytest.raises(CannotServe, match="DRAS_WORKER__OFFERED"):
        read_settings()


def test_the_default_bundle_may_be_named_among_those_offered():
    settings = WorkerSettings(bundle="mine", offered=("mine", "/elsewhere/other"))
    assert settings.offered == ("mine", "/elsewhere/other")
