import errno
import os
from pathlib import Path

import pytest

from dras_model.imaging.atlas import Atlas
from dras_model.imaging.atlas_bundle import save_atlas
from dras_model.library import library_folder, open_atlas, open_bundle
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


def test_the_builtin_atlas_is_the_same_from_code_and_from_the_library(atlas: Atlas) -> None:
    assert open_atlas().sha256 == atlas.sha256
    assert open_atlas("builtin").sha256 == atlas.sha256


def test_an_atlas_is_found_by_name_and_by_path(atlas: Atlas, library: Path, tmp_path: Path) -> None:
    save_atlas(atlas, library / "atlases" / "mine")
    save_atlas(atlas, tmp_path / "elsewhere")
    assert open_atlas("mine").sha256 == open_atlas(tmp_path / "elsewhere").sha256 == atlas.sha256


@pytest.mark.parametrize("name", ["absent", "../atlases/none"])
def test_an_atlas_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(SetupRefused) as refused:
        open_atlas(name)
    assert refused.value.code is Code.ATLAS_NOT_FOUND
    assert name in str(refused.value)


def test_a_bundle_that_is_not_there_is_named(atlas: Atlas) -> None:
    with pytest.raises(SetupRefused) as refused:
        open_bundle("absent", atlas)
    assert refused.value.code is Code.BUNDLE_NOT_FOUND


def test_the_default_bundle_says_that_it_is_untrained(atlas: Atlas) -> None:
    assert open_bundle(None, atlas).provenance.training == "untrained"


def test_the_library_lies_where_the_environment_says(library: Path) -> None:
    assert library_folder() == library


@pytest.mark.parametrize("place", ["/proc/nope", "/proc/nope/deeper"])
def test_a_library_that_cannot_be_written_is_named(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("DRAS_LIBRARY", place)
    for opened in (open_atlas, lambda: open_bundle(None, atlas)):
        with pytest.raises(SetupRefused) as refused:
            opened()
        assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
        assert place in str(refused.value)


def test_a_library_whose_place_is_a_file_is_named(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DRAS_LIBRARY", str(tmp_path / "file"))
    for opened in (open_atlas, lambda: open_bundle(None, atlas)):
        with pytest.raises(SetupRefused) as refused:
            opened()
        assert refused.value.code is Code.OUTPUT_NOT_WRITABLE


@pytest.mark.parametrize("name", ["x" * 300, "deep/" * 1000, "zero\0byte"])
def test_a_name_that_can_be_no_place_is_not_found(atlas: Atlas, name: str) -> None:
    with pytest.raises(SetupRefused) as refused:
        open_atlas(name)
    assert refused.value.code is Code.ATLAS_NOT_FOUND
    with pytest.raises(SetupRefused) as refused:
        open_bundle(name, atlas)
    assert refused.value.code is Code.BUNDLE_NOT_FOUND


def test_what_lies_in_a_folder_that_may_not_be_entered_is_not_found(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(Path, "is_file", _shut)  # root may enter every folder
    (tmp_path / "shut").mkdir(mode=0)
    for name in ("shut", "shut/below"):
        with pytest.raises(SetupRefused) as refused:
            open_atlas(tmp_path / name)
        assert refused.value.code is Code.ATLAS_NOT_FOUND
        with pytest.raises(SetupRefused) as refused:
            open_bundle(tmp_path / name, atlas)
        assert refused.value.code is Code.BUNDLE_NOT_FOUND
    (tmp_path / "shut").chmod(0o755)


def _shut(path: Path) -> bool:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))
