from pathlib import Path

import pytest

from dras_model.outputs.folder import new_folder
from dras_model.results.errors import SetupRefused


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as draft:
        (draft / "x").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "x").read_text() == "1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_nothing_is_left_of_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out") as draft:
        (draft / "x").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as draft:
        (draft / "x").write_text("1")
    assert (tmp_path / "out" / "x").exists()


def test_an_old_result_is_replaced_whole_when_asked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("0")
    with new_folder(tmp_path / "out", overwrite=True) as draft:
        (draft / "new").write_text("1")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_old_result_survives_a_failure(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("0")
    with pytest.raises(ValueError, match="planted"), new_folder(tmp_path / "out", overwrite=True):
        raise ValueError("planted")
    assert (tmp_path / "out" / "old").read_text() == "0"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SetupRefused, match="a file has that name"), new_folder(tmp_path / "out"):
        pass


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupRefused, match="cannot be written"), new_folder(tmp_path / "file" / "out"):
        pass


def test_the_folder_can_be_read_by_others(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
