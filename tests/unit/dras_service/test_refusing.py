"""What is configured wrongly ends the process before it takes work, in one sentence with the setting and the cure.

Bundles and GPUs are tried by the self-test: `worker/test_encoders.py`.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest

from dras_service.errors import CannotServe
from dras_service.serve import serve
from dras_service.settings import read_settings

NOWHERE = "127.0.0.1:1"  # nothing listens there


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("DRAS_") and name != "DRAS_LIBRARY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DRAS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DRAS_GATEWAY__PORT", "0")


def refusal_of(start) -> tuple[str, str]:
    with pytest.raises(CannotServe) as refusal:
        start()
    sentence = str(refusal.value)
    assert re.search(r"[\w`]\.$", sentence), sentence
    assert not re.search(r"\. [A-Z]", sentence), "more than one sentence"
    return refusal.value.code, sentence


def start_gateway() -> None:
    serve(read_settings(), announce=pytest.fail, with_worker=False)


def gateway_refuses(monkeypatch, **environment: str) -> tuple[str, str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return refusal_of(start_gateway)


def test_a_database_that_does_not_answer(monkeypatch):
    pytest.importorskip("psycopg")
    code, said = gateway_refuses(
        monkeypatch, DRAS_STORE__URL=f"postgresql+psycopg://dras:hidden@{NOWHERE}/dras"
    )
    assert (code, "DRAS_STORE__URL" in said, "hidden" in said) == ("STORE_UNAVAILABLE", True, False)


def test_an_address_that_is_none_of_a_database(monkeypatch):
    code, said = gateway_refuses(monkeypatch, DRAS_STORE__URL="postgres hidden")
    assert (code, "DRAS_STORE__URL" in said, "hidden" in said) == ("STORE_UNSUPPORTED", True, False)


def test_a_database_whose_driver_is_missing(monkeypatch):
    code, said = gateway_refuses(monkeypatch, DRAS_STORE__URL="postgresql+pg8000://dras@db/dras")
    assert (code, "DRAS_STORE__URL" in said, "dras[cluster]" in said) == ("STORE_UNSUPPORTED", True, True)


def test_a_database_of_a_later_version(monkeypatch, migrated, tmp_path):
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "jobs.sqlite3"
    shutil.copy(migrated, database)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    code, said = gateway_refuses(monkeypatch)
    assert (code, "DRAS_STORE__URL" in said) == ("STORE_NEWER", True)


def test_a_bucket_that_is_not_there(monkeypatch):
    pytest.importorskip("obstore")
    settings = {"DRAS_BLOBS__URL": "s3://bucket", "DRAS_BLOBS__ENDPOINT": f"http://{NOWHERE}"}
    secrets = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_REGION": "us-east-1"}
    code, said = gateway_refuses(monkeypatch, **settings, **secrets)
    assert (code, "DRAS_BLOBS__URL" in said, "hidden" in said) == ("BLOBS_UNAVAILABLE", True, False)


def test_a_bucket_without_its_secret(monkeypatch, object_store):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    settings = {"DRAS_BLOBS__URL": object_store.bucket(), "DRAS_BLOBS__ENDPOINT": object_store.url}
    code, said = gateway_refuses(monkeypatch, **settings)
    assert (code, "AWS_SECRET_ACCESS_KEY" in said) == ("BLOBS_UNAVAILABLE", True)


def test_a_salt_that_cannot_be_kept(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    required = {"DRAS_AUTHENTICATION__REQUIRED": "true"}
    salt = {"DRAS_AUTHENTICATION__SALT_FILE": str(tmp_path / "file" / "salt")}
    code, said = gateway_refuses(monkeypatch, **required, **salt)
    assert (code, "DRAS_AUTHENTICATION__SALT_FILE" in said) == ("SALT_UNREADABLE", True)


def test_an_address_for_everybody_without_keys(monkeypatch):
    code, said = gateway_refuses(monkeypatch, DRAS_GATEWAY__HOST="0.0.0.0")
    assert (code, "DRAS_AUTHENTICATION__REQUIRED" in said) == ("INSECURE_BIND", True)


def test_an_issuer_of_tokens_that_is_half_described(monkeypatch):
    code, said = gateway_refuses(monkeypatch, DRAS_AUTHENTICATION__OIDC__ISSUER="https://id.example")
    assert code == "SETTINGS_INVALID"
    assert "DRAS_AUTHENTICATION__OIDC__AUDIENCE" in said
    assert "DRAS_AUTHENTICATION__OIDC__JWKS" in said


def test_a_worker_by_itself_says_so_too_on_its_standard_error(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "dras_service.worker"],
        env=os.environ | {"DRAS_STORE__URL": f"sqlite:///{tmp_path / 'file' / 'jobs.sqlite3'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("dras: STORE_UNAVAILABLE: The database of DRAS_STORE__URL does not answer")
