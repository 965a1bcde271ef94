import gzip
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.atlas_bundle import import_published, load_atlas, save_atlas
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

CORNERS = np.array([[0, 2, 4], [8, 4, 2]])


def make(name: str = "small", corners: np.ndarray = CORNERS) -> Atlas:
    labels = np.zeros((20, 30, 40), dtype=np.uint8)
    labels[5:15, 5:20, 4:16] = RIGHT
    labels[5:15, 5:20, 24:36] = LEFT
    affine = np.array([[0.0, 0, 1, -189.122], [0, -1, 0, -9.958], [1, 0, 0, -1132.5], [0, 0, 0, 1]])
    return Atlas.of(LabelMap(labels, Grid(labels.shape, affine)), corners, name=name, version="3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_atlas(make(), tmp_path / "small")
    return tmp_path / "small"


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Path]:
    """A mask as the authors store it: right 50 and left 100, a NIfTI of RAS world; and the corners."""
    labels = np.zeros((40, 30, 20), dtype=np.int16)
    labels[4:16, 5:20, 5:15] = 50
    labels[24:36, 5:20, 5:15] = 100
    image = nib.Nifti1Image(
        labels, np.array([[-1.0, 0, 0, 189], [0, 1, 0, 10], [0, 0, 1, -1132.5], [0, 0, 0, 1]])
    )
    nib.save(image, tmp_path / "mask.nii.gz")
    np.save(tmp_path / "corners.npy", CORNERS)
    return tmp_path / "mask.nii.gz", tmp_path / "corners.npy"


def refused(code: Code, folder: Path) -> str:
    with pytest.raises(SetupRefused) as refusal:
        load_atlas(folder)
    assert refusal.value.code is code
    return str(refusal.value)


def test_a_published_mask_in_another_orientation_is_refused_with_a_sentence(
    published: tuple[Path, Path],
) -> None:
    mask, corners = published
    image = nib.load(mask)
    affine = np.array([[-1.0, 0, 0, 189], [0, -1, 0, 10], [0, 0, 1, -1132.5], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), mask)
    with pytest.raises(SetupRefused, match="grow to LPS, not to LAS") as refusal:
        import_published(mask, corners)
    assert refusal.value.code is Code.ATLAS_INVALID


def test_an_atlas_comes_back_as_it_was_saved(folder: Path) -> None:
    saved, loaded = make(), load_atlas(folder)
    assert (loaded.name, loaded.version, loaded.sha256) == ("small", "3", saved.sha256)
    assert np.array_equal(loaded.lungs.labels, saved.lungs.labels)
    assert loaded.lungs.grid.same_as(saved.lungs.grid)
    assert np.array_equal(loaded.corners, saved.corners)


def test_the_mask_is_a_nifti_that_other_programs_place_alike(folder: Path) -> None:
    image = nib.load(folder / "lung_mask.nii.gz")
    x, y, z = 10, 7, 9
    left, posterior, superior = make().lungs.grid.to_world(np.array([z, y, x]))
    assert image.dataobj[x, y, z] == RIGHT
    assert (image.affine @ [x, y, z, 1])[:3] == pytest.approx([-left, -posterior, superior], abs=1e-3)


def test_saving_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save_atlas(make(), tmp_path / "again")
    for file in ("atlas.json", "lung_mask.nii.gz"):
        assert (folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_saving_over_itself_changes_nothing(folder: Path) -> None:
    before = (folder / "atlas.json").stat().st_mtime_ns
    save_atlas(make(), folder)
    assert (folder / "atlas.json").stat().st_mtime_ns == before


def test_saving_over_another_atlas_is_refused_and_leaves_it(folder: Path) -> None:
    with pytest.raises(SetupRefused, match="taken by small 3"):
        save_atlas(make(corners=CORNERS[::-1]), folder)
    assert load_atlas(folder).sha256 == make().sha256


def test_saving_over_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(SetupRefused, match="something else"):
        save_atlas(make(), tmp_path / "mine")


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dras_model.imaging.atlas_bundle.write_nifti", full)
    with pytest.raises(SetupRefused, match="No space left"):
        save_atlas(make(), tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    assert "nowhere" in refused(Code.ATLAS_NOT_FOUND, tmp_path / "nowhere")


def test_a_changed_mask_is_refused(folder: Path) -> None:
    mask = folder / "lung_mask.nii.gz"
    content = bytearray(mask.read_bytes())
    content[-1] ^= 1
    mask.write_bytes(content)
    assert "does not match its hash" in refused(Code.ATLAS_INVALID, folder)


def test_a_mask_that_is_no_image_is_refused_even_with_the_right_hash(folder: Path) -> None:
    junk = gzip.compress(b"no image")
    (folder / "lung_mask.nii.gz").write_bytes(junk)
    change(folder, mask_sha256=hashlib.sha256(junk).hexdigest())
    assert "no NIfTI" in refused(Code.ATLAS_INVALID, folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"corners_xyz": [[0, 2, 4], [8, 4, 3]]}, "identity"),
        ({"corners_xyz": [[0, 2, 4], [8, 4, 300]]}, "outside"),
        ({"corners_xyz": [[0, 2]]}, "at fault"),
        ({"orientation": "LPS"}, "LPS"),
        ({"labels": {"right": 2, "left": 1}}, "mirrored"),
        ({"labels": {"right": 1}, "patch_size": 16}, "at fault"),
        ({"schema_version": "2.0"}, "at fault"),
        ({"surprise": 1}, "at fault"),
        ({"name": ""}, "at fault"),
    ],
)
def test_a_changed_manifest_is_refused(folder: Path, changes: dict[str, object], reason: str) -> None:
    change(folder, **changes)
    assert reason in refused(Code.ATLAS_INVALID, folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / "atlas.json").write_bytes(content)
    refused(Code.ATLAS_INVALID, folder)


def test_a_missing_mask_is_refused(folder: Path) -> None:
    (folder / "lung_mask.nii.gz").unlink()
    assert "cannot be read" in refused(Code.ATLAS_INVALID, folder)


def test_importing_names_the_lungs_by_their_labels_and_keeps_the_geometry(
    published: tuple[Path, Path],
) -> None:
    atlas = import_published(*published)
    assert atlas.orientation == "LAS"
    assert atlas.lungs.labels[9, 7, 10] == RIGHT
    assert atlas.lungs.labels[9, 7, 30] == LEFT
    assert atlas.corners_lps_mm[1].tolist() == [-181.0, -14.0, -1130.5]


def test_importing_with_swapped_labels_is_refused(published: tuple[Path, Path]) -> None:
    with pytest.raises(SetupRefused, match="mirrored"):
        import_published(*published, right=100, left=50)


def test_importing_a_mask_without_the_labels_is_refused(published: tuple[Path, Path]) -> None:
    with pytest.raises(SetupRefused, match="lacks"):
        import_published(*published, right=1, left=2)


@pytest.mark.parametrize("which", [0, 1])
def test_importing_from_a_missing_file_is_not_found(published: tuple[Path, Path], which: int) -> None:
    published[which].unlink()
    with pytest.raises(SetupRefused) as refusal:
        import_published(*published)
    assert refusal.value.code is Code.ATLAS_NOT_FOUND


def test_importing_never_runs_a_pickle(published: tuple[Path, Path]) -> None:
    np.save(published[1], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SetupRefused, match="no plain NumPy array"):
        import_published(*published)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_importing_corners_of_another_format_is_refused(published: tuple[Path, Path], content: bytes) -> None:
    published[1].write_bytes(content)
    with pytest.raises(SetupRefused, match="no plain NumPy array"):
        import_published(*published)


def change(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "atlas.json").read_text())
    (folder / "atlas.json").write_text(json.dumps({**manifest, **changes}))


def test_a_mask_of_too_many_voxels_is_an_invalid_atlas(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 30_000))
    header.set_sform(np.eye(4), code="scanner")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    (tmp_path / "mask.nii").write_bytes(header.binaryblock + bytes(4))
    np.save(tmp_path / "corners.npy", np.zeros((1, 3), np.int64))
    with pytest.raises(SetupRefused, match="million voxels") as refused:
        import_published(tmp_path / "mask.nii", tmp_path / "corners.npy")
    assert refused.value.code is Code.ATLAS_INVALID
