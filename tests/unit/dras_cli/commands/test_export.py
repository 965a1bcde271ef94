import json

import pytest

from dras_cli.main import main
from dras_model.outputs.exports import EXPORTS, write_exports
from dras_model.outputs.extraction import write_result
from unit.dras_model.outputs.invented import stored
from unit.dras_model.stored import stored_result


@pytest.fixture
def folder(tmp_path):
    made = stored(stored_result())
    (tmp_path / "run").mkdir()
    write_exports(["npz", "masks"], made, tmp_path / "run")
    write_result(made.result, tmp_path / "run")
    return tmp_path / "run"


def test_forms_are_written_and_named(folder, tmp_path, capsys):
    assert main(["export", str(folder), "--to", "csv, nifti", "-o", str(tmp_path / "out"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert "laa_map.nii.gz" in shown["files"]


@pytest.mark.parametrize(("forms", "says"), [("csv,docx", "'docx' is no form"), (" , ", "at least one")])
def test_a_form_that_is_none_is_a_wrong_call_that_lists_those_there_are(
    forms, says, folder, tmp_path, capsys
):
    assert main(["export", str(folder), "--to", forms, "-o", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_that_a_form_needs_and_are_not_named_are_one_sentence(folder, tmp_path, capsys):
    assert main(["export", str(folder), "--to", "csv,seg", "-o", str(tmp_path / "out")]) == 4
    assert capsys.readouterr().err.startswith("dras: SOURCE_NEEDED: seg cannot be made without")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_replaced_only_when_asked(folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").touch()
    arguments = ["export", str(folder), "--to", "npz", "-o", str(tmp_path / "out")]
    assert main(arguments) == 4
    assert "OUTPUT_NOT_WRITABLE" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["features.npz"]


def test_the_help_lists_every_form(capsys):
    assert main(["export", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in EXPORTS)
