import pytest

from dras_cli.main import main


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "0", "-1"])
def test_a_reference_volume_is_a_finite_positive_number(number, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["extract", "study", "-o", str(out), f"--reference-volume-ml={number}"]) == 2
    assert "--reference-volume-ml" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "options", [["--label", "x" * 81], ["--label", "a\nb"], ["--date", "11/23/2026"], ["--paper", "a3"]]
)
@pytest.mark.parametrize("command", [["extract", "study"], ["export", "result", "--to", "report"]])
def test_a_label_is_a_line_a_date_a_day_and_a_paper_one_of_two(command, options, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*command, "-o", str(out), *options]) == 2
    assert options[0] in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_an_interval_is_a_finite_number(number, tmp_path, capsys):
    arguments = ["compare", "a", "b", "-o", str(tmp_path / "out"), "--interval-years", number]
    assert main(arguments) == 2
    assert "finite" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", ".", "../atlas", "a/b", "a\\b", ".hidden", "a\n"])
@pytest.mark.parametrize(
    "command",
    [
        ["atlas", "import", "--lung-mask", "mask.nii.gz", "--corners", "corners.npy"],
        ["model", "import-official", "checkpoint.pth", "--config", "configs.json"],
    ],
)
def test_a_name_in_the_library_is_no_path(command, name, capsys):
    assert main([*command, "--name", name]) == 2
    assert "is no name" in capsys.readouterr().err


def test_the_name_of_the_atlas_that_comes_along_is_taken(capsys):
    arguments = ["atlas", "import", "--lung-mask", "mask.nii.gz", "--corners", "corners.npy"]
    assert main([*arguments, "--name", "builtin"]) == 2
    assert "comes with dras" in capsys.readouterr().err
