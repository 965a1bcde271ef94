import pytest

from dras_cli.former import RESULT_FILES, check_replaceable
from dras_model.results.errors import SetupRefused


def fill(folder, names):
    folder.mkdir()
    for name in names:
        (folder / name).write_text("x")
    return folder


def test_a_place_with_nothing_in_it_is_free(tmp_path):
    assert check_replaceable(tmp_path / "new") is False
    assert check_replaceable(fill(tmp_path / "empty", [])) is False


@pytest.mark.parametrize("names", [RESULT_FILES, ["result.json"]], ids=["whole", "in part"])
def test_a_former_result_gives_way(tmp_path, names):
    assert check_replaceable(fill(tmp_path / "out", names)) is True


@pytest.mark.parametrize(
    "names",
    [["thesis.docx"], [*RESULT_FILES, "thesis.docx"], ["qc.png"]],
    ids=["other", "mixed", "no result.json"],
)
def test_anything_else_is_kept(tmp_path, names):
    out = fill(tmp_path / "out", names)
    with pytest.raises(SetupRefused):
        check_replaceable(out)
    assert len(list(out.iterdir())) == len(names)
