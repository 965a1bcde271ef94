"""`dras results` and what a shell completes, over the fake service and over nothing at all."""

import functools
import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from dras_cli.main import main
from dras_client import Client
from dras_client.testing import FakeService

URL = ("--url", "http://dras.test")


@pytest.fixture
def fake(monkeypatch):
    service = FakeService()
    monkeypatch.setattr(
        "dras_cli.service_options.Client", functools.partial(Client, transport=service.transport)
    )
    return service


@pytest.fixture
def job_id(fake, tmp_path, capsys):
    (tmp_path / "study").write_bytes(b"x")
    assert main(["submit", str(tmp_path / "study"), *URL, "--no-wait", "--json"]) == 0
    view = json.loads(capsys.readouterr().out)
    assert view["state"] == "queued"
    return view["id"]


def test_what_was_only_sent_is_fetched_later(fake, job_id, tmp_path, capsys):
    assert main(["results", job_id, *URL]) == 5
    assert "RESULT_NOT_READY" in capsys.readouterr().err
    assert main(["results", job_id, *URL, "--wait", "-o", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "succeeded_with_warnings"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["features.npz", "patches.csv", "regions.csv", "result.json"]


def test_people_are_shown_the_scores_and_where_the_files_are(fake, job_id, tmp_path, capsys):
    assert (
        main(["results", job_id, *URL, "--wait", "-o", str(tmp_path / "out"), "--file", "regions.csv"]) == 0
    )
    shown = capsys.readouterr().out
    assert "LAA-950insp" in shown
    assert f"Saved in {tmp_path / 'out'}." in shown
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["regions.csv"]


@pytest.mark.parametrize(("table", "n_rows"), [("regions", 3), ("patches", 12)])
def test_a_table_is_csv_and_nothing_else(fake, job_id, capsys, tmp_path, table, n_rows):
    assert main(["results", job_id, *URL, "--wait", "--table", table]) == 0
    (tmp_path / "table.csv").write_text(capsys.readouterr().out)
    assert len(pd.read_csv(tmp_path / "table.csv")) == n_rows


def test_a_file_that_is_not_there_leaves_no_folder(fake, job_id, tmp_path, capsys):
    assert main(["results", job_id, *URL, "--wait", "-o", str(tmp_path / "out"), "--file", "nothing"]) == 5
    assert "ARTIFACT_NOT_FOUND" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_rejected_study_ends_with_its_code_and_status_three(fake, tmp_path, capsys):
    fake.will_reject()
    (tmp_path / "study").write_bytes(b"x")
    main(["submit", str(tmp_path / "study"), *URL, "--no-wait", "--json"])
    job_id = json.loads(capsys.readouterr().out)["id"]
    assert main(["results", job_id, *URL, "--wait"]) == 3
    assert "NOT_DICOM" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--file", "x"], ["--table", "regions", "--json"], ["--table", "lobes"]], ids=str
)
def test_a_call_that_contradicts_itself_is_a_wrong_one(fake, wrong):
    assert main(["results", "x", *URL, *wrong]) == 2


@pytest.mark.parametrize("more", [["--timeout", "1"], ["-o", "out"]], ids=str)
def test_who_does_not_wait_neither_saves_nor_gives_up(fake, tmp_path, more):
    assert main(["submit", str(tmp_path), *URL, "--no-wait", *more]) == 2
    assert fake.requests == []


def completed(monkeypatch, capsys, words):
    monkeypatch.setenv("_DRAS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert main([]) == 0
    return [line.partition(",")[2] for line in capsys.readouterr().out.split()]


def test_a_shell_completes_commands_options_and_jobs(fake, job_id, monkeypatch, capsys):
    assert completed(monkeypatch, capsys, "dras res") == ["results"]
    assert completed(monkeypatch, capsys, "dras results --wa") == ["--wait"]
    assert completed(monkeypatch, capsys, f"dras results {job_id[:4]}") == [job_id]
    assert completed(monkeypatch, capsys, "dras status nothing-like-it") == []
    fake.will_answer(502)
    assert completed(monkeypatch, capsys, "dras status ") == []
    assert "demo" not in completed(monkeypatch, capsys, "dras ")


def test_completing_a_command_loads_none():
    environment = {"_DRAS_COMPLETE": "bash_complete", "COMP_WORDS": "dras ", "COMP_CWORD": "1"}
    code = "import sys; from dras_cli.main import main; main([]); print('|', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    assert "extract" in done.stdout
    assert not set(done.stdout.rpartition("|")[2].split()) & {"numpy", "rich", "pydantic", "httpx2"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "_DRAS_COMPLETE" in capsys.readouterr().out
