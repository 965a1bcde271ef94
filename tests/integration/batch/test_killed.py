"""A batch over a real PACS that is killed again and again."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd

from integration.batch.cohort import DESCRIPTION, FAILURES, N_CHESTS, write_cohort
from integration.batch.conftest import WITHIN_S, batch, cases, start, states
from integration.serving import children_of, wait_until
from pacs_servers import Orthanc

KILLED_AFTER = [round(share * (N_CHESTS + len(FAILURES))) for share in (0.0, 0.3, 0.6)]


def job_file(folder: Path, orthanc: Orthanc) -> Path:
    (folder / "pacs.toml").write_text(
        f"""
        [peers.archive]
        ae_title = "ORTHANC"
        addresses = ["127.0.0.1"]
        host = "127.0.0.1"
        port = {orthanc.dicom_port}
        """
    )
    path = folder / "job.toml"
    path.write_text(
        f"""
        out = "results"
        [source.pacs]
        config = "pacs.toml"
        peer = "archive"
        description = "{DESCRIPTION}"
        modality = ""
        [options]
        dicom = true
        [send]
        config = "pacs.toml"
        to = ["archive"]
        [here]
        workers = 1
        """
    )
    return path


def kill_when(process: "subprocess.Popen[str]", out: Path, *, ended: int) -> None:
    """Kill a batch with a case on its way and so many behind it; its worker must not outlive it."""

    def is_at_it() -> bool:
        found = states(out)
        return bool(found["running"]) and found["done"] + found["failed"] >= ended

    wait_until(is_at_it, within_s=WITHIN_S, what="a case is being computed")
    workers = children_of(process.pid)
    process.kill()
    process.communicate()
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
        within_s=60,
        what="its worker ended",
    )


def test_a_batch_killed_three_times_ends_with_one_result_each_there_and_in_the_pacs(
    orthanc: Orthanc, library: Path, tmp_path: Path
) -> None:
    for folder in write_cohort(tmp_path / "scans"):
        orthanc.keep(folder)
    out, job = tmp_path / "results", str(job_file(tmp_path, orthanc))
    for ended in KILLED_AFTER:
        kill_when(start("run", job), out, ended=ended)
    (out / "cases" / ".dras-left").mkdir(exist_ok=True)  # what a worker that dies at the wrong moment leaves
    status, shown, errors = batch("run", job, "--json")
    assert status == 0, errors
    end = json.loads(shown.splitlines()[-1])
    assert (end["event"], end["done"], end["failed"]) == ("finished", N_CHESTS, len(FAILURES))

    found = cases(out)
    assert Counter(state for _, state, _ in found) == {"done": N_CHESTS, "failed": len(FAILURES)}
    results = sorted(path.name for path in (out / "cases").iterdir())
    assert results == sorted(name for name, state, _ in found if state == "done")
    assert all((out / "cases" / name / "result.json").is_file() for name in results)
    assert not (out / "work").exists()

    table = pd.read_parquet(out / "cohort.parquet")
    assert sorted(table["Study"].unique()) == results
    assert table["StudyInstanceUID"].nunique() == table["SeriesInstanceUID"].nunique() == N_CHESTS
    failures = pd.read_csv(out / "cohort.failures.csv")
    assert sorted(failures["Code"]) == sorted(FAILURES.values())

    assert end["sent"] == {"sent": N_CHESTS, "waiting": 0, "given_up": 0}
    status, shown, errors = batch("run", job, "--json")
    events = [json.loads(line) for line in shown.splitlines()]
    # What lies there of ours makes no study another.
    assert (status, [event for event in events if event["event"] == "began"]) == (0, []), errors
    for study_uid in table["StudyInstanceUID"].unique():
        there = {modality: len(found) for modality, found in orthanc.series(study_uid).items()}
        assert {**there, "CT": 0} == {"SR": 1, "SEG": 1, "OT": 1, "DOC": 1, "CT": 0}
