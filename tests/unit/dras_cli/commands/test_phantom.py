import json

import pydicom
import pytest

from dras_cli.main import main

SMALL = ["--slices", "20", "--matrix", "48"]


def test_a_phantom_is_a_series_with_its_truth_beside_it(tmp_path, capsys):
    out = tmp_path / "study"
    options = [
        "--emphysema",
        "0.1",
        "--kind",
        "panlobular",
        "--place",
        "right",
        "--kernel",
        "sharp",
        "--seed",
        "4",
    ]
    assert main(["phantom", str(out), *SMALL, *options, "--json"]) == 0
    truth = json.loads(capsys.readouterr().out)
    assert truth == json.loads((tmp_path / "study.truth.json").read_text())
    fractions = {region["region"]: region["emphysema_percent"] for region in truth["noise_free"]}
    assert fractions["left"] == 0.0
    assert fractions["whole"] == pytest.approx(10.0, abs=0.5)
    headers = [pydicom.dcmread(path) for path in out.iterdir()]
    assert len(headers) == 20
    assert {header.ConvolutionKernel for header in headers} == {"LUNG"}
    assert {float(header.SliceThickness) for header in headers} == {15.0}


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name in ("one", "two"):
        assert main(["phantom", str(tmp_path / name), *SMALL]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(("inflation", "word"), [("0.5", "EXP"), ("1", "INSP")])
def test_the_header_names_the_breath_that_was_asked_for(inflation, word, tmp_path):
    assert main(["phantom", str(tmp_path / "out"), *SMALL, "--inflation", inflation]) == 0
    headers = [pydicom.dcmread(path) for path in (tmp_path / "out").iterdir()]
    assert {header.SeriesDescription for header in headers} == {f"CHEST {word}"}


@pytest.mark.parametrize(
    "options",
    [["--emphysema", "0.9"], ["--inflation", "9"], ["--noise", "-1"], ["--kernel", "B70"], ["--slices", "1"]],
    ids=str,
)
def test_a_phantom_that_cannot_be_is_a_wrong_call_and_leaves_nothing(tmp_path, options):
    assert main(["phantom", str(tmp_path / "out"), *SMALL, *options]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("x")
    assert main(["phantom", str(tmp_path / "out"), *SMALL]) == 4
