import contextlib
import errno
import os
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


def _entries(folder: Path) -> list[str]:
    return sorted(entry.relative_to(folder).as_posix() for entry in folder.rglob("*"))


def test_the_folder_one_stands_in_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with new_folder(Path()) as draft:
        (draft / "x").write_text("1")
    assert [entry.name for entry in Path().iterdir()] == ["x"]


def test_a_folder_that_exists_is_never_renamed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    before = (tmp_path / "out").stat().st_ino  # a mount point could not be renamed
    for overwrite in (False, True):
        with new_folder(tmp_path / "out", overwrite=overwrite) as draft:
            (draft / "x").write_text("1")
    assert (tmp_path / "out").stat().st_ino == before
    assert _entries(tmp_path) == ["out", "out/x"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_names_is_filled(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with new_folder(tmp_path / "link") as draft:
        (draft / "x").write_text("1")
    assert (tmp_path / "link").is_symlink()
    assert _entries(tmp_path) == ["link", "real", "real/x"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["x" * 256, "file/out", "circle", "zero\0byte", "a/b/" + "x" * 256])
def test_a_place_that_cannot_be_is_refused_before_the_block_runs(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(SetupRefused), new_folder(tmp_path / name, overwrite=overwrite):
        pytest.fail("the block ran")
    assert _entries(tmp_path) == ["circle", "file"]


def test_a_place_that_may_not_be_written_is_refused_before_the_block_runs() -> None:
    for place in ("/proc/out", "/proc/self/task", "/proc/a/b"):
        with pytest.raises(SetupRefused), new_folder(Path(place), overwrite=True):
            pytest.fail("the block ran")


def test_a_place_below_a_folder_that_is_shut_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may enter every folder")
    (tmp_path / "shut").mkdir(mode=0)
    for name in ("shut", "shut/out"):
        with pytest.raises(SetupRefused), new_folder(tmp_path / name, overwrite=True):
            pytest.fail("the block ran")
    (tmp_path / "shut").chmod(0o755)


def test_a_name_of_the_greatest_length_is_used(tmp_path: Path) -> None:
    with new_folder(tmp_path / ("x" * 255)) as draft:
        (draft / "x").touch()
    assert (tmp_path / ("x" * 255) / "x").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_a_fault_of_the_block_is_not_the_places(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "a" / "out"
    if exists:
        out.mkdir(parents=True)
    before = _entries(tmp_path)
    with pytest.raises(FileNotFoundError), new_folder(out):
        (tmp_path / "input").read_bytes()
    assert _entries(tmp_path) == before


@pytest.mark.parametrize(
    ("number", "where", "refused"),
    [
        (errno.ENOSPC, "draft", True),
        (errno.ENOSPC, None, True),  # a full disk shows in writing, which names no file
        (errno.EROFS, "draft", True),
        (errno.EIO, "draft", True),
        (errno.EIO, None, False),
        (errno.ENOSPC, "elsewhere", False),
        (errno.ENOENT, "draft", False),
    ],
)
def test_only_a_fault_of_writing_the_draft_is_told_as_the_places(
    tmp_path: Path, number: int, where: str | None, refused: bool
) -> None:
    def write(draft: Path) -> None:
        (draft / "x").touch()
        name = {"draft": str(draft / "x"), "elsewhere": "/elsewhere/x", None: None}[where]
        raise OSError(number, os.strerror(number), name)

    with pytest.raises(SetupRefused if refused else OSError), new_folder(tmp_path / "out") as draft:
        write(draft)
    assert _entries(tmp_path) == []


def test_a_real_full_disk_is_told_as_the_places(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(SetupRefused, match="No space left"), new_folder(tmp_path / "out"):
        Path("/dev/full").write_bytes(b"1")
    assert _entries(tmp_path) == []


def test_what_somebody_puts_there_in_the_meantime_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(SetupRefused, match="in the meantime"), new_folder(out):
        (out / "x").write_text("theirs")
    assert _entries(tmp_path) == ["out", "out/x"]
    assert (out / "x").read_text() == "theirs"


@pytest.mark.parametrize("n_moves", range(5))
def test_an_exchange_that_fails_at_any_move_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_moves: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("result.json", "qc.png"):
        (out / name).write_text("old")
    rename, moves = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        moves.append(target)
        if len(moves) == n_moves + 1:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, target)

    done = False
    monkeypatch.setattr(Path, "rename", failing)
    with contextlib.suppress(SetupRefused):
        with new_folder(out, overwrite=True) as draft:
            for name in ("result.json", "regions.csv"):
                (draft / name).write_text("new")
        done = True
    assert done == (n_moves == 4)
    content = {entry.name: entry.read_text() for entry in out.iterdir()}
    expected = (
        {"result.json": "new", "regions.csv": "new"} if done else {"result.json": "old", "qc.png": "old"}
    )
    assert content == expected


def test_a_result_is_the_first_to_go_and_the_last_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a", "result.json", "z"):
        (out / name).touch()
    rename, moved = Path.rename, []

    def recording(self: Path, target: Path) -> Path:
        moved.append(self.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", recording)
    with new_folder(out, overwrite=True) as draft:
        for name in ("a", "result.json", "z"):
            (draft / name).touch()
    assert (moved[0], moved[-1], len(moved)) == ("result.json", "result.json", 6)
