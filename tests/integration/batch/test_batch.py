"""`dras batch` as a user runs it: real processes, the real pipeline, and kill -9."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from integration.batch.cohort import FAILURES, N_CHESTS, write_cohort
from integration.serving import children_of, wait_until

WITHIN_S = 300.0 + 30.0 * N_CHESTS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    write_cohort(folder / "scans")
    (folder / "job.toml").write_text('out = "results"\n[source]\nfolder = "scans"\n[here]\nworkers = 1\n')
    return folder


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "dras_cli.main", "batch", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def batch(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, errors = process.communicate(timeout=WITHIN_S)
    assert "Traceback" not in errors
    return process.returncode, out, errors


def cases(out: Path) -> list[tuple[str, str, str | None]]:
    connection = sqlite3.connect(f"file:{out / 'ledger.sqlite3'}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT name, state, code FROM cases").fetchall()
    finally:
        connection.close()


def begun(out: Path) -> Counter[str]:
    try:
        return Counter(state for _, state, _ in cases(out))
    except sqlite3.OperationalError:  # not there yet
        return Counter()


def kill_when(process: "subprocess.Popen[str]", out: Path, *, ended: int) -> None:
    """Kill the batch with a case on its way and so many behind it; its worker must not outlive it."""

    def is_at_it() -> bool:
        found = begun(out)
        return bool(found["running"]) and found["done"] + found["failed"] >= ended

    wait_until(is_at_it, within_s=WITHIN_S, what="a case is being computed")
    workers = children_of(process.pid)
    process.kill()
    process.communicate()
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
        within_s=60,
        what="its worker has ended",
    )


def test_a_batch_killed_three_times_ends_with_one_result_each_and_every_failure_by_its_code(
    place: Path, library: Path
) -> None:
    out, job = place / "results", str(place / "job.toml")
    for ended in (0, 1, 3):
        kill_when(start("run", job), out, ended=ended)
    (out / "cases" / ".dras-left").mkdir()  # what a worker that was killed at the wrong moment leaves
    status, shown, errors = batch("run", job, "--json")
    assert status == 0, errors
    events = [json.loads(line) for line in shown.splitlines()]
    assert events[-1]["event"] == "finished"
    assert (events[-1]["done"], events[-1]["failed"]) == (N_CHESTS, len(FAILURES))

    found = cases(out)
    assert Counter(state for _, state, _ in found) == {"done": N_CHESTS, "failed": len(FAILURES)}
    results = sorted(path.name for path in (out / "cases").iterdir())
    assert results == sorted(name for name, state, _ in found if state == "done")
    assert all((out / "cases" / name / "result.json").is_file() for name in results)
    assert not (out / "work").exists()

    table = pd.read_parquet(out / "cohort.parquet")
    assert sorted(table["Study"].unique()) == results
    assert table["StudyInstanceUID"].nunique() == N_CHESTS
    failures = pd.read_csv(out / "cohort.failures.csv")
    assert dict(zip(failures["Source"], failures["Code"], strict=True)) == FAILURES


def test_what_is_done_is_not_computed_again_and_what_has_changed_is(place: Path, library: Path) -> None:
    """Goes on from the test before."""
    out, job = place / "results", str(place / "job.toml")
    before = {path: path.stat().st_mtime_ns for path in (out / "cases").glob("*/result.json")}
    assert len(before) == N_CHESTS
    changed = next(path for path in before if path.parent.name.startswith("mixed"))
    (study_uid,) = (
        pd.read_parquet(out / "cohort.parquet")
        .query(f"Study == '{changed.parent.name}'")["StudyInstanceUID"]
        .unique()
    )
    slices = sorted((place / "scans" / "mixed").iterdir())
    own = [path for path in slices if path.name.startswith(slices[0].name[:3])]
    os.utime(own[0])
    status, shown, _ = batch("run", job, "--json")
    events = [json.loads(line) for line in shown.splitlines()]
    began = [event["case"] for event in events if event["event"] == "began"]
    assert status == 0
    assert len(began) == 1
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.parent.name for path in before if after[path] != before[path]] == began
    assert study_uid  # the table names the study of each result


def test_a_killed_worker_is_replaced_and_its_case_tried_once_more(
    place: Path, library: Path, tmp_path: Path
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f'out = "results"\n[source]\nfolder = "{place / "scans" / "mixed"}"\n[here]\nworkers = 1\n'
    )
    process = start("run", str(job), "--json")
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        deaths = [event for event in seen if event.get("code") == "CASE_CRASHED"]
        if seen[-1]["event"] == "progress" and any(seen[-1]["running"].values()) and len(deaths) < 1:
            (worker,) = children_of(process.pid)
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda pid=worker: not Path(f"/proc/{pid}").exists(), within_s=60, what="it ended")
    process.communicate()
    assert process.returncode == 0
    assert [event["state"] for event in deaths] == ["waiting"]
    assert "SIGKILL" in deaths[0]["message"]
    assert (seen[-1]["done"], seen[-1]["failed"]) == (2, 0)


def test_ctrl_c_ends_the_case_at_hand_and_takes_no_other(place: Path, library: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f'out = "results"\n[source]\nfolder = "{place / "scans" / "mixed"}"\n[here]\nworkers = 1\n'
    )
    process = start("run", str(job))
    wait_until(lambda: begun(tmp_path / "results")["running"] > 0, within_s=WITHIN_S, what="a case runs")
    second = batch("run", str(job))
    assert second[0] == 4
    assert "LEDGER_BUSY" in second[2]
    status, shown, _ = batch("status", str(job), "--json")
    assert (status, json.loads(shown)["at_work"]) == (0, True)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130, errors
    assert "Stopped; the same command goes on" in shown
    assert begun(tmp_path / "results") == {"done": 1, "waiting": 1}
    status, shown, _ = batch("report", str(job), "--rows", "studies", "--json")
    assert (status, json.loads(shown)["rows"]) == (0, 1)
