from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dras_model.outputs.features import ARRAYS, FeaturesError, read_features, write_features
from unit.dras_model.outputs.invented import N_PATCHES, features


def test_numpy_reads_a_row_a_patch_of_every_array_and_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.npz", "other.npz"):
        write_features(tmp_path / name, features())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as stored:
        for name, array in features().columns().items():
            assert len(stored[name]) == N_PATCHES
            np.testing.assert_array_equal(stored[name], array)
            assert stored[name].dtype == array.dtype
        assert (stored["patch_size"], stored["patch_step"]) == (32, 26)


def test_features_come_back_as_they_were(tmp_path: Path) -> None:
    write_features(tmp_path / "features.npz", features())
    back = read_features(tmp_path / "features.npz")
    for name, array in features().columns().items():
        np.testing.assert_array_equal(back.columns()[name], array)
    assert list(back.densitometry) == list(features().densitometry)
    assert back.lattice is not None
    np.testing.assert_array_equal(back.lattice.affine, features().lattice.affine)


def test_features_of_schema_1_0_have_no_lattice(tmp_path: Path) -> None:
    write_features(tmp_path / "features.npz", replace(features(), lattice=None))
    assert read_features(tmp_path / "features.npz").lattice is None


@pytest.mark.parametrize("missing", ARRAYS)
def test_features_without_one_of_their_arrays_are_refused_by_its_name(missing: str, tmp_path: Path) -> None:
    arrays = {name: array for name, array in features().columns().items() if name != missing}
    np.savez(tmp_path / "features.npz", **arrays)
    with pytest.raises(FeaturesError, match=missing):
        read_features(tmp_path / "features.npz")


@pytest.mark.parametrize(
    "changed",
    [
        {"embeddings": np.zeros(N_PATCHES, np.float32)},
        {"embeddings": np.zeros((N_PATCHES - 1, 5), np.float32)},
        {"corner_mm": np.zeros((N_PATCHES, 2))},
        {"corners": np.zeros((N_PATCHES, 3))},
        {"corners": np.int64(3)},
        {"valid": np.zeros(N_PATCHES, np.uint8)},
        {"laa950": np.zeros((N_PATCHES, 2), np.float32)},
        {"patch_size": np.int64(32)},
        {"patch_size": np.zeros(2), "patch_step": np.int64(1), "atlas_affine_lps_mm": np.eye(4)},
        {"patch_size": np.int64(1), "patch_step": np.int64(1), "atlas_affine_lps_mm": np.zeros((4, 4))},
    ],
    ids="+".join,
)
def test_arrays_that_do_not_belong_together_are_refused(
    changed: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "features.npz", **{**features().columns(), **changed})
    with pytest.raises(FeaturesError):
        read_features(tmp_path / "features.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 1000])
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "features.npz").write_bytes(content)
    with pytest.raises(FeaturesError):
        read_features(tmp_path / "features.npz")


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "features.npz", **{**features().columns(), "valid": np.array([{}] * N_PATCHES)})
    with pytest.raises(FeaturesError):
        read_features(tmp_path / "features.npz")
