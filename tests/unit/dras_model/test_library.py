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
