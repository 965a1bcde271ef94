from pathlib import Path

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.cases import Case, Done, Failed, Lost, State
from dras_service.batch.ledger import MOST_INTERRUPTIONS, Counts, Ledger, is_at_work
from unit.dras_service.batch.conftest import study


def taken(ledger: Ledger) -> Case:
    case = ledger.next_case()
    assert case is not None
    return case


def finish(ledger: Ledger, folder: Path) -> Case:
    """Compute the next case: leave a result and say so."""
    case = taken(ledger)
    (folder / case.name).mkdir(parents=True)
    (folder / case.name / "result.json").write_text("{}")
    ledger.end(case, Done("succeeded"))
    return case


def reopened(out: Path, *, recipe: str = "recipe") -> Ledger:
    ledger = Ledger(out, writes=True)
    ledger.begin_run(recipe)
    return ledger


def test_a_case_that_is_done_waits_again_only_when_its_images_or_the_recipe_change(
    ledger: Ledger, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    ledger.take_in([study("a")], "recipe")
    finish(ledger, results)
    for identity, recipe, waits in (("1", "recipe", False), ("2", "recipe", True), ("2", "other", True)):
        ledger.take_in([study("a", identity)], recipe)
        ledger.end_finding(results)
        assert ledger.counts() == (Counts(waiting=1) if waits else Counts(done=1))
        if waits:
            ledger.end(taken(ledger), Done("succeeded"))


def test_a_result_that_was_taken_away_is_computed_again(ledger: Ledger, tmp_path: Path) -> None:
    results = tmp_path / "results"
    ledger.take_in([study("a")], "recipe")
    case = finish(ledger, results)
    (results / case.name / "result.json").unlink()
    ledger.end_finding(results)
    assert ledger.counts() == Counts(waiting=1)


def test_a_result_outlives_its_images_and_what_has_none_is_forgotten_with_them(
    ledger: Ledger, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    ledger.take_in([study("a"), study("b"), study("c")], "recipe")
    finish(ledger, results)
    ledger.end(taken(ledger), Failed("NOT_HU", "It is none."))
    ledger.close()
    with reopened(tmp_path / "out") as again:
        again.take_in([study("d")], "recipe")
        again.end_finding(results)
        assert again.counts() == Counts(done=1, waiting=1)


def test_failed_cases_wait_again_when_that_is_asked_for(ledger: Ledger, tmp_path: Path) -> None:
    ledger.take_in([study("a")], "recipe")
    ledger.end(taken(ledger), Failed("NOT_HU", "It is none."))
    ledger.end_finding(tmp_path)
    assert ledger.counts() == Counts(failed=1)
    ledger.end_finding(tmp_path, again=True)
    assert ledger.counts() == Counts(waiting=1)


def test_a_case_that_ends_its_process_twice_has_crashed_and_comes_after_the_others(ledger: Ledger) -> None:
    ledger.take_in([study("a"), study("b")], "recipe")
    first = taken(ledger)
    assert ledger.end(first, Lost("its process was ended by SIGKILL")) is State.WAITING
    assert taken(ledger).study == "b"
    again = taken(ledger)
    assert (again.study, again.attempt) == ("a", 2)
    assert ledger.end(again, Lost("its process was ended by SIGKILL")) is State.FAILED
    (failure,) = ledger.failures_by_code()
    assert (failure.code, failure.n) == ("CASE_CRASHED", 1)
    assert "SIGKILL" in failure.example


def test_a_case_that_was_running_when_the_batch_was_killed_waits_and_is_given_up_after_five_times(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    for time in range(MOST_INTERRUPTIONS):
        with reopened(out) as ledger:
            ledger.take_in([study("a")], "recipe")
            assert taken(ledger).attempt == time + 1
    with reopened(out) as ledger:
        assert ledger.counts() == Counts(failed=1)
        assert ledger.failures_by_code()[0].code == "CASE_CRASHED"


def test_what_is_given_back_counts_as_nothing(ledger: Ledger) -> None:
    ledger.take_in([study("a")], "recipe")
    ledger.give_back(taken(ledger))
    assert taken(ledger).attempt == 1


def test_one_run_at_a_time_writes_and_anybody_may_look(ledger: Ledger, tmp_path: Path) -> None:
    ledger.take_in([study("a")], "recipe")
    with pytest.raises(SetupRefused) as refused:
        Ledger(tmp_path / "out", writes=True)
    assert refused.value.code is Code.LEDGER_BUSY
    assert is_at_work(tmp_path / "out")
    with Ledger(tmp_path / "out", writes=False) as looking:
        assert looking.counts() == Counts(waiting=1)
    ledger.close()
    assert not is_at_work(tmp_path / "out")


def test_a_folder_without_a_ledger_or_with_another_file_of_its_name_is_told(tmp_path: Path) -> None:
    for content in (None, b"no database" * 1000):
        if content is not None:
            (tmp_path / "ledger.sqlite3").write_bytes(content)
        with pytest.raises(SetupRefused) as refused:
            Ledger(tmp_path, writes=False)
        assert refused.value.code is Code.LEDGER_INVALID


def test_a_job_of_a_service_is_remembered_until_the_images_change(ledger: Ledger) -> None:
    ledger.take_in([study("a")], "recipe")
    ledger.note_job(taken(ledger), "job-1")
    ledger.take_in([study("a")], "recipe")
    ledger.begin_run("recipe")
    assert taken(ledger).job_id == "job-1"
    ledger.take_in([study("a", "2")], "recipe")
    assert taken(ledger).job_id is None


def test_names_of_folders_say_where_a_study_came_from_and_differ() -> None:
    names = {study(key, called="Ward 7/Ärzte: x").name for key in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("Ward_7_rzte_x-") for name in names)


def test_the_pace_counts_the_time_since_the_last_end_and_forgets_what_is_long_ago(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [4e9]  # later than the run that is open
    monkeypatch.setattr("time.time", lambda: now[0])
    ledger.begin_run("recipe")
    ledger.take_in([study(str(number)) for number in range(200)], "recipe")
    assert ledger.per_hour() is None
    for seconds in (36.0, 36.0):
        case = taken(ledger)
        now[0] += seconds
        ledger.end(case, Done("succeeded"))
    assert ledger.per_hour() == pytest.approx(100.0)
    now[0] += 72.0
    assert ledger.per_hour() == pytest.approx(50.0)
    for _ in range(100):
        case = taken(ledger)
        now[0] += 3.6
        ledger.end(case, Done("succeeded"))
    assert ledger.per_hour() == pytest.approx(1000.0)
