"""The command around a batch: what it says, and what it answers a wrong file with; nothing is computed here."""

import json
import time
from pathlib import Path

import pandas as pd
import pytest

from dras_cli.batch_progress import batch_screen, duration
from dras_cli.main import main
from dras_service.batch.cases import Done, Failed, Found
from dras_service.batch.events import Ended, Planned, Progress
from dras_service.batch.ledger import Ledger
from unit.dras_service.examples import study_result


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A batch that is half done: two results, a failure, and a study that waits."""
    path, out = tmp_path / "job.toml", tmp_path / "results"
    path.write_text('out = "results"\n[source]\nfolder = "scans"\n')
    with Ledger(out, writes=True) as ledger:
        ledger.begin_run("recipe")
        ledger.take_in(
            [
                Found(study, "tree", f"ward/{study}", "1", f"1.2.{study}", carried={"id": number, "age": age})
                for study, number, age in (
                    ("0", "007", "61"),
                    ("1", "012", ""),
                    ("2", "013", "59"),
                    ("3", "1", "2"),
                )
            ],
            "recipe",
        )
        for outcome in (Done("succeeded"), Failed("NOT_HU", "They are no HU."), Done("partial")):
            case = ledger.next_case()
            assert case is not None
            if isinstance(outcome, Done):
                (out / "cases" / case.name).mkdir(parents=True)
                (out / "cases" / case.name / "result.json").write_text(study_result().model_dump_json())
            ledger.end(case, outcome)
    return path


def test_a_report_is_made_of_what_is_done_and_carries_the_manifest(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "report", str(job), "--rows", "studies"]) == 0
    shown = capsys.readouterr().out
    assert "2 done, 1 failed, 1 left, of 4 studies." in shown
    assert "They are no HU." in shown
    table = pd.read_parquet(job.parent / "results" / "cohort.parquet").set_index("Source")
    assert table["id"].to_dict() == {"ward/0": "007", "ward/2": "013"}
    assert table["age"].to_dict() == {"ward/0": 61, "ward/2": 59}
    failures = pd.read_csv(job.parent / "results" / "cohort.failures.csv", dtype=str)
    assert failures[["Path", "Code", "StudyInstanceUID", "id"]].to_numpy().tolist() == [
        ["ward/1", "NOT_HU", "1.2.1", "012"]
    ]


def test_a_result_that_is_gone_is_a_failure_of_the_report(job: Path) -> None:
    (result, _) = (job.parent / "results" / "cases").glob("*/result.json")
    result.unlink()
    assert main(["batch", "report", str(job), "-o", str(job.parent / "x.parquet")]) == 0
    assert pd.read_parquet(job.parent / "x.parquet")["Study"].nunique() == 1
    assert set(pd.read_csv(job.parent / "x.failures.csv")["Code"]) == {"NOT_HU", "RESULT_INVALID"}


def test_status_counts_states_and_codes(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "status", str(job), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["failed"], told["waiting"], told["at_work"]) == (2, 1, 1, False)
    assert told["failures"] == {"NOT_HU": 1}
    assert main(["batch", "status", str(job)]) == 0
    assert "not running: 2 done, 1 failed, 0 running, 1 waiting, of 4 studies" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "gone.toml"], 4, "BATCH_INVALID"),
        (["status", "new.toml"], 4, "LEDGER_INVALID"),
        (["check", "no-bundle.toml"], 4, "BUNDLE_NOT_FOUND"),
        (["report", "new.toml", "-o", "table.csv"], 2, "ends in .parquet"),
        (["report", "new.toml", "--embeddings"], 2, "--embeddings belongs to --rows studies"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    least = 'out = "o"\n[source]\nfolder = "scans"\n'
    Path("new.toml").write_text(least)
    Path("no-bundle.toml").write_text(least + '[options]\nbundle = "nowhere"\n')
    assert main(["batch", *arguments]) == status
    assert said in capsys.readouterr().err


def test_without_a_terminal_the_plan_and_failures_are_lines_and_the_pace_one_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with batch_screen() as hear:
        hear(Planned(4, 1, 0, 3, 12, 2))
        hear(Ended("a", "ward/a", "failed", 1.0, "NOT_HU", "They are no HU."))
        hear(Ended("b", "ward/b", "done", 1.0))
        hear(Progress(4, 2, 1, {}, 1200.0, 3.0))
        later = time.monotonic() + 60.0
        monkeypatch.setattr("time.monotonic", lambda: later)
        hear(Progress(4, 2, 1, {}, 1200.0, 3.0))
    assert capsys.readouterr().err.splitlines() == [
        "4 studies: 1 done, 0 failed before, 3 to do, 2 at once; 12 other files are left alone",
        "a: NOT_HU: They are no HU.",
        "2 done and 1 failed of 4, 1200 an hour, 3 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.6, "1 min 0 s"), (3700, "1 h 1 min"), (90_000, "1 d 1 h")]
)
def test_a_time_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said
