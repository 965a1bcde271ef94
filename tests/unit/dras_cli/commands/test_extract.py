import json
import pathlib
from datetime import date

import pytest

import dras_cli.commands.extract as command
from dras_cli.main import main
from dras_model.outputs.report.page import Page
from dras_model.pipeline import Choices
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import Stage
from dras_model.scores.limits import Limits
from dras_model.scores.scoring import ScoringChoices
from unit.dras_service.examples import study_result


@pytest.fixture
def pipeline(monkeypatch):
    """Stands in for everything that computes; remembers how it was called."""
    calls = {}

    def extract(source, out, *, report, **options):
        calls.update(source=source, out=out, **options)
        if source.name == "refused":
            raise StudyRefused(Code.NOT_DICOM, n_files=1)
        for stage in Stage:
            report(stage, 1.0)
        return study_result()

    def opened(name):
        def remember(*arguments, **options):
            calls[name] = (*arguments, options)
            return name

        return remember

    monkeypatch.setattr(command, "extract_study", extract)

    def open_weights(*arguments):
        calls["opened weights"] = arguments
        return "opened atlas", "opened bundle"

    monkeypatch.setattr(command, "open_weights", open_weights)
    monkeypatch.setattr(command.Encoder, "open", opened("opened encoder"))
    return calls


def test_options_reach_the_pipeline(pipeline, tmp_path):
    out = tmp_path / "out"
    options = ["--bundle", "b", "--atlas", "a", "--series", "1.2", "--device", "cuda", "--threads", "3"]
    assert main(["extract", "study", "-o", str(out), *options]) == 0
    assert (pipeline["source"], pipeline["out"]) == (pathlib.Path("study"), out)
    assert pipeline["choices"] == Choices(series_uid="1.2")
    assert pipeline["overwrite"] is False
    assert pipeline["opened weights"] == ("b", "a")
    assert pipeline["opened encoder"] == ("opened bundle", {"device": "cuda", "threads": 3})


def test_what_is_said_of_the_scan_reaches_its_scoring(pipeline, tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("peel_mm = 15\n")
    options = ["--phase", "expiration", "--reference-volume-ml", "6000", "--lobes", "lobes.nii.gz"]
    assert main(["extract", "study", "-o", str(tmp_path / "out"), *options, "--limits", str(limits)]) == 0
    scoring = pipeline["choices"].scoring
    assert scoring == ScoringChoices("expiration", 6000.0, pathlib.Path("lobes.nii.gz"), Limits(peel_mm=15.0))


def test_what_the_report_carries_reaches_it(pipeline, tmp_path):
    options = ["--label", "Study 12", "--date", "2026-11-23", "--paper", "letter"]
    assert main(["extract", "study", "-o", str(tmp_path / "out"), *options]) == 0
    assert pipeline["page"] == Page("Study 12", date(2026, 11, 23), "letter")


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (["--phase", "held"], 2, "USAGE"),
        (["--reference-volume-ml", "0"], 2, "USAGE"),
        (["--limits", "nowhere.toml"], 4, "LIMITS_INVALID"),
    ],
)
def test_what_cannot_be_said_of_a_scan_is_one_sentence(pipeline, tmp_path, capsys, options, status, code):
    assert main(["extract", "study", "-o", str(tmp_path / "out"), *options]) == status
    assert f"dras: {code}:" in capsys.readouterr().err
    assert "source" not in pipeline


def test_standard_output_is_the_result_alone_with_json(pipeline, tmp_path, capsys):
    assert main(["extract", "study", "-o", str(tmp_path / "out"), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == study_result().model_dump(mode="json")
    assert shown.err == ""


def test_timings_are_written_where_asked(pipeline, tmp_path):
    file = tmp_path / "timings.json"
    assert main(["extract", "study", "-o", str(tmp_path / "out"), "--timings", str(file)]) == 0
    assert json.loads(file.read_text()) == study_result().timings


def test_timings_that_cannot_be_written_are_a_fault_of_the_place(pipeline, tmp_path, capsys):
    arguments = [
        "extract",
        "study",
        "-o",
        str(tmp_path / "out"),
        "--timings",
        str(tmp_path / "no" / "where.json"),
    ]
    assert main(arguments) == 4
    assert "OUTPUT_NOT_WRITABLE" in capsys.readouterr().err
    assert pipeline == {}  # told before a study is computed


def test_a_folder_is_no_place_for_timings(pipeline, tmp_path, capsys):
    assert main(["extract", "study", "-o", str(tmp_path / "out"), "--timings", str(tmp_path)]) == 4
    assert "it is a folder" in capsys.readouterr().err
    assert pipeline == {}


def test_a_refused_study_is_one_sentence_and_status_three(pipeline, tmp_path, capsys):
    assert main(["extract", "refused", "-o", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err == f"dras: NOT_DICOM: {StudyRefused(Code.NOT_DICOM, n_files=1)}\n"


def test_only_force_lets_a_folder_be_replaced(pipeline, tmp_path):
    (tmp_path / "thesis.docx").write_text("x")
    assert main(["extract", "study", "-o", str(tmp_path)]) == 0
    assert pipeline["overwrite"] is False
    assert main(["extract", "study", "-o", str(tmp_path), "--force"]) == 0
    assert pipeline["overwrite"] is True


def test_no_output_folder_is_a_wrong_call(pipeline):
    assert main(["extract", "study"]) == 2
    assert pipeline == {}
