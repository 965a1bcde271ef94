"""`dras batch` as a user runs it: real processes over a tree of files, and the real pipeline."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from integration.batch.cohort import FAILURES, N_CHESTS
from integration.batch.conftest import WITHIN_S, batch, start, states
from integration.serving import children_of, wait_until


@pytest.fixture(scope="module")
def done(scans: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch that has run, with a worker that was killed on the way: the job file."""
    job = tmp_path_factory.mktemp("job") / "job.toml"
    job.write_text(f'out = "results"\n[source]\nfolder = "{scans}"\n[here]\nworkers = 1\n')
    process = start("run", str(job), "--json")
    assert process.stdout is not None
    deaths: list[dict[str, str]] = []
    for line in process.stdout:
        event = json.loads(line)
        if event.get("code") == "CASE_CRASHED":
            deaths.append(event)
        if event["event"] == "progress" and any(event["running"].values()) and not deaths:
            for worker in children_of(process.pid):
                os.kill(worker, signal.SIGKILL)
    process.communicate()
    assert process.returncode == 0
    assert [(event["state"], "SIGKILL" in event["message"]) for event in deaths] == [("waiting", True)]
    assert (event["event"], event["done"], event["failed"]) == ("finished", N_CHESTS, len(FAILURES))
    return job


def test_every_study_of_the_tree_is_in_the_table_or_among_the_failures(done: Path, scans: Path) -> None:
    out = done.parent / "results"
    table = pd.read_parquet(out / "cohort.parquet")
    assert table.groupby("Source")["Study"].nunique().to_dict() == {
        "archived/study.zip": 1,
        "mixed": 2,
        **{f"subject{number:03}": 1 for number in range(3, N_CHESTS)},
    }
    assert set(table["Study"]) == {path.name for path in (out / "cases").iterdir()}
    failures = pd.read_csv(out / "cohort.failures.csv")
    assert dict(zip(failures["Source"], failures["Code"], strict=True)) == FAILURES


def test_what_is_done_is_not_computed_again_and_what_has_changed_is(done: Path, scans: Path) -> None:
    out = done.parent / "results"
    before = {path: path.stat().st_mtime_ns for path in (out / "cases").glob("*/result.json")}
    os.utime(scans / "mixed" / "s0_000.dcm")
    status, shown, _ = batch("run", str(done), "--json")
    events = [json.loads(line) for line in shown.splitlines()]
    began = [event["case"] for event in events if event["event"] == "began"]
    assert (status, len(began)) == (0, 1)
    assert [path.parent.name for path in before if path.stat().st_mtime_ns != before[path]] == began


def test_ctrl_c_ends_the_case_at_hand_and_takes_no_other(scans: Path, library: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f'out = "results"\n[source]\nfolder = "{scans / "mixed"}"\n[here]\nworkers = 1\n')
    process = start("run", str(job))
    wait_until(lambda: states(tmp_path / "results")["running"] > 0, within_s=WITHIN_S, what="a case runs")
    status, shown, _ = batch("status", str(job), "--json")
    assert (status, json.loads(shown)["at_work"]) == (0, True)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130, errors
    assert "Stopped; the same command goes on" in shown
    assert states(tmp_path / "results") == {"done": 1, "waiting": 1}
    status, shown, _ = batch("report", str(job), "--rows", "studies", "--json")
    assert (status, json.loads(shown)["rows"]) == (0, 1)
