import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.starter import FOLDER, packed
from dras_model.encoder.weights import initialise
from dras_model.encoding import weights_warnings
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.atlas_bundle import save_atlas
from dras_model.library import library_folder, load_bundle, open_atlas, open_bundle, open_untrained
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


def test_the_default_bundle_is_that_of_the_product_and_says_that_it_knows_phantoms_only(atlas: Atlas) -> None:
    bundle = open_bundle(None, atlas)
    assert "phantoms" in bundle.provenance.training
    assert load_bundle("phantom-starter").sha256 == bundle.sha256
    assert [warning.code for warning in weights_warnings(bundle)] == [Code.PHANTOM_TRAINED_WEIGHTS]


def test_the_weights_of_the_product_are_small_enough_and_what_float16_changed_is_told(atlas: Atlas) -> None:
    told = packed()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 20_000_000
    assert told.atlas.sha256 == atlas.sha256
    assert told.rounding.min_cosine >= 0.9999
    assert told.training.knows_phantoms_only


def test_the_weights_of_the_product_are_those_that_are_told(atlas: Atlas) -> None:
    made = open_bundle(None, atlas).weights()
    stored = load_file(FOLDER / "phantom-starter.safetensors")
    assert made is not None
    for name, array in made.parameters.items():
        np.testing.assert_array_equal(array, stored[name].astype(np.float32))


def test_what_is_told_of_the_same_weights_anew_is_what_results_name(
    atlas: Atlas, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, told = open_bundle(None, atlas), packed()
    training = told.training.model_copy(update={"data": "7 phantoms of another description"})
    monkeypatch.setattr("dras_model.library.packed", lambda: told.model_copy(update={"training": training}))
    after = open_bundle(None, atlas)
    assert "7 phantoms" in after.provenance.training
    assert "7 phantoms" not in before.provenance.training


def test_another_atlas_has_untrained_weights(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAS_LIBRARY", str(tmp_path))
    monkeypatch.setattr("dras_model.library.create_untrained", _small)
    other = replace(atlas, name="other", sha256="e" * 64)
    bundle = open_bundle(None, other)
    assert bundle.provenance.training == "untrained"
    assert [warning.code for warning in weights_warnings(bundle)] == [Code.UNTRAINED_WEIGHTS]
    assert open_untrained(other).sha256 == bundle.sha256


def _small(path: Path, atlas: Atlas, *, seed: int) -> None:
    """Untrained weights of one expert, which are made in a tenth of the time."""
    weights = initialise(EncoderConfig(num_experts=1), seed=seed)
    create_bundle(path, weights, atlas, name=path.name, training=Untrained(seed=seed), licence="MIT")


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
