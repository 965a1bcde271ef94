import json
import pathlib

import pytest

import dras_cli.commands.pair as command
from dras_cli.main import main
from dras_model.paired import PairChoices
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from unit.dras_cli.pair_examples import pair_result


@pytest.fixture
def pipeline(monkeypatch):
    """Stands in for everything that computes; remembers how it was called."""
    calls = {}

    def pair(inspiration, expiration, out, *, report, **options):
        calls.update(inspiration=inspiration, expiration=expiration, out=out, **options)
        if inspiration.name == "swapped":
            raise StudyRefused(Code.PHASES_SWAPPED, inspiration_ml=3000.0, expiration_ml=5000.0)
        return pair_result()

    monkeypatch.setattr(command, "pair_scans", pair)
    return calls


def test_both_scans_and_every_option_reach_the_pipeline(pipeline, tmp_path):
    out, limits = tmp_path / "out", tmp_path / "limits.toml"
    limits.write_text("peel_mm = 15.0\n")
    options = ["--inspiration-series", "1.2", "--expiration-series", "1.3", "--segmenter", "m:f", "--force"]
    options += ["--inspiration-lobes", "a.nii.gz", "--expiration-lobes", "b.nii.gz"]
    assert main(["pair", "in", "ex", "-o", str(out), "--limits", str(limits), *options]) == 0
    assert (pipeline["inspiration"], pipeline["expiration"]) == (pathlib.Path("in"), pathlib.Path("ex"))
    choices = pipeline["choices"]
    assert (choices.inspiration_uid, choices.expiration_uid, choices.segmenter) == ("1.2", "1.3", "m:f")
    assert choices.limits.peel_mm == 15.0
    assert (choices.inspiration_lobes, choices.expiration_lobes) == (
        pathlib.Path("a.nii.gz"),
        pathlib.Path("b.nii.gz"),
    )
    assert pipeline["overwrite"] is True


def test_without_options_nothing_is_chosen_and_nothing_replaced(pipeline, tmp_path):
    assert main(["pair", "in", "ex", "-o", str(tmp_path / "out")]) == 0
    assert pipeline["choices"] == PairChoices()
    assert pipeline["overwrite"] is False


def test_standard_output_is_the_result_alone_with_json(pipeline, tmp_path, capsys):
    assert main(["pair", "in", "ex", "-o", str(tmp_path / "out"), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == pair_result().model_dump(mode="json")
    assert shown.err == ""


def test_swapped_scans_are_one_sentence_and_status_three(pipeline, tmp_path, capsys):
    assert main(["pair", "swapped", "ex", "-o", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err.startswith("dras: PHASES_SWAPPED: ")


def test_a_pair_is_two_scans(pipeline, tmp_path):
    assert main(["pair", "one", "-o", str(tmp_path / "out")]) == 2
    assert pipeline == {}


def test_the_table_shows_warnings_first_and_why_a_score_is_missing(pipeline, tmp_path, capsys):
    main(["pair", "in", "ex", "-o", str(tmp_path / "out")])
    text = capsys.readouterr().out
    assert text.index("Not for diagnosis") < text.index("KERNEL_DIFFERS") < text.index("E/I-volume")
    assert "PRM-fSAD: no value: folded" in text
