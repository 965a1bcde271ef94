import io
import json
import sys

import pandas as pd
import pytest

from dras_cli.main import main
from unit.dras_model.stored import stored_result


@pytest.fixture
def runs(tmp_path):
    """Three results, one of them broken."""
    for name in ("b", "a", "broken"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        document = stored_result(input_sha256=name[0] * 64).model_dump_json() if name != "broken" else "{"
        (tmp_path / "runs" / name / "result.json").write_text(document)
    return tmp_path / "runs"


def _studies(table):
    return pd.read_parquet(table)["Study"].drop_duplicates().tolist()


def test_a_pattern_names_results_in_their_order_and_a_broken_one_is_told(runs, tmp_path, capsys):
    table = tmp_path / "cohort.parquet"
    assert main(["cohort", str(runs / "*"), "-o", str(table)]) == 0
    shown = capsys.readouterr().out
    assert "2 of 3 results" in shown
    assert "cohort.failures.csv says why" in shown
    assert _studies(table) == ["a", "b"]


def test_results_come_from_a_list_too_and_each_is_taken_once(runs, tmp_path, capsys, monkeypatch):
    table = tmp_path / "cohort.parquet"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{runs / 'b'}\n\n{runs}/?\n"))
    assert main(["cohort", str(runs / "b"), "--from", "-", "-o", str(table), "--wide", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["results"], told["read"], told["rows"]) == (2, 2, 2)
    assert _studies(table) == ["b", "a"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["nothing/*", "-o", "cohort.parquet"], 2, "name a result"),
        (["nothing", "-o", "cohort.parquet"], 3, "COHORT_EMPTY"),
        (["nothing", "-o", "cohort.csv"], 2, "ends in .parquet"),
        (["nothing", "-o", "cohort.parquet", "--embeddings"], 2, "belongs to --rows studies"),
    ],
)
def test_what_makes_no_table_is_one_sentence_and_leaves_nothing(
    arguments, status, says, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["cohort", *arguments]) == status
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
