import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_model.imaging.source import ArchiveLimits, open_source
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("pack", [_zip, _tar])
def test_an_archive_gives_its_files_and_leaves_nothing(tmp_path: Path, pack) -> None:
    path = pack(tmp_path / "study", {"a/1.dcm": b"one", "b/2.dcm": b"two"})
    with open_source(path) as files:
        assert sorted(file.read_bytes() for file in files) == [b"one", b"two"]
        folder = files[0].parent
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a\\..\\evil", "x" * 250])
@pytest.mark.parametrize("pack", [_zip, _tar])
def test_a_name_in_an_archive_is_never_a_path(tmp_path: Path, pack, name: str) -> None:
    path = pack(tmp_path / "study", {name: b"content"})
    with open_source(path) as files:
        assert [file.name for file in files] == ["000000"]
    assert {entry.name for entry in tmp_path.iterdir()} == {"study"}


def test_a_symbolic_link_in_a_tar_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "study.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with open_source(path) as files:
        assert files == []


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "study.zip", {f"{n}": b"x" for n in range(5)})
    with (
        pytest.raises(StudyRefused, match="more than 4 files"),
        open_source(path, limits=ArchiveLimits(n_files=4)),
    ):
        pass


def test_bytes_are_counted_while_inflating(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.zip", {"zeros": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    limits = ArchiveLimits(n_bytes=10_000_000)
    with pytest.raises(StudyRefused, match="more than 10000000 bytes"), open_source(path, limits=limits):
        pass


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "overlap.zip", {"a": b"x" * 1000, "b": b"y" * 1000})
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = (1).to_bytes(4, "little")  # offset of the local header
    path.write_bytes(content)
    with pytest.raises(StudyRefused, match="cannot be read"), open_source(path):
        pass


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "study.zip", {"a": bytes(range(256)) * 1000})
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(StudyRefused, match="cannot be read"), open_source(path):
        pass


def test_an_absent_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="no readable file"), open_source(tmp_path / "absent"):
        pass


def test_a_folder_is_walked_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2", "a/1", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with open_source(tmp_path) as files:
        assert [file.relative_to(tmp_path).as_posix() for file in files] == ["a/1", "b/2", "c"]


def _code(path: Path) -> Code:
    with pytest.raises(StudyRefused) as refused, open_source(path):
        pass
    return refused.value.code


@pytest.mark.parametrize("name", ["x" * 300, "file/below", "zero\0byte", "circle"])
def test_a_name_that_can_be_no_place_is_not_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    assert _code(tmp_path / name) is Code.NOT_FOUND


@pytest.fixture
def shut() -> Iterator[Path]:
    """A folder with a file; the test runs as somebody who may open what its mode lets others open."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "study").mkdir(mode=0o755)
    (folder / "study" / "1").touch()
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        for place in (folder, folder / "study"):
            place.chmod(0o755)
        shutil.rmtree(folder)


def _chmod(path: Path, mode: int) -> None:
    """Change a mode as the owner, though the test may run as another."""
    user, real = os.geteuid(), os.getuid()
    os.seteuid(real)
    path.chmod(mode)
    os.seteuid(user)


@pytest.mark.parametrize("shut_mode", [0o000, 0o444])
@pytest.mark.parametrize("what", ["study", "study/1", "."])
def test_what_may_not_be_read_is_not_found_and_not_ignored(shut: Path, shut_mode: int, what: str) -> None:
    _chmod(shut / "study", shut_mode)
    with pytest.raises(StudyRefused) as refused, open_source(shut / what):
        pass
    assert refused.value.code is Code.NOT_FOUND
    assert f"{shut}/study" in str(refused.value)


def test_a_file_that_may_not_be_read_is_not_found(shut: Path) -> None:
    _chmod(shut / "study" / "1", 0)
    assert _code(shut / "study" / "1") is Code.NOT_FOUND


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1").touch()
    study = tmp_path / "study"
    study.mkdir()
    (study / "linked").symlink_to(tmp_path / "elsewhere")
    (study / "again").symlink_to(tmp_path / "elsewhere")
    (study / "up").symlink_to(study)
    (study / "circle").symlink_to("circle")
    os.mkfifo(study / "pipe")
    with open_source(study) as files:
        assert [file.relative_to(study).as_posix() for file in files] == ["again/1"]
