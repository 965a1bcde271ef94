import json

import pytest

from dras_cli.main import main
from unit.dras_model.stored import ACQUISITION, stored_result


@pytest.fixture
def stored(tmp_path):
    def make(name, **changes):
        folder = tmp_path / name
        folder.mkdir()
        result = stored_result(input_sha256=name[0] * 64, **changes)
        (folder / "result.json").write_text(result.model_dump_json())
        return str(folder)

    return make


def test_standard_output_is_the_comparison_alone_with_json(stored, tmp_path, capsys):
    arguments = ["compare", stored("a"), stored("b"), "-o", str(tmp_path / "out"), "--json"]
    assert main([*arguments, "--interval-years", "2"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert shown["followups"][0]["interval_years"] == 2.0


def test_a_kernel_that_differs_is_told_before_the_numbers(stored, tmp_path, capsys):
    sharp = ACQUISITION.model_copy(update={"kernel": "B70f"})
    assert main(["compare", stored("a"), stored("b", acquisition=sharp), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text.index("not comparable") < text.index("KERNEL_DIFFERS") < text.index("LAA-950insp")


def test_a_wrong_number_of_intervals_is_a_wrong_call(stored, tmp_path, capsys):
    arguments = ["compare", stored("a"), stored("b"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--interval-years", "1", "--interval-years", "2"]) == 2
    assert "positive interval" in capsys.readouterr().err


def test_a_baseline_alone_is_a_wrong_call(stored, tmp_path):
    assert main(["compare", stored("a"), "-o", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize(("given", "code"), [("nowhere", "NOT_FOUND"), ("empty", "RESULT_INVALID")])
def test_what_is_no_result_is_one_sentence_and_status_three(given, code, stored, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["compare", stored("a"), str(tmp_path / given), "-o", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err.startswith(f"dras: {code}: ")
    assert not (tmp_path / "out").exists()
