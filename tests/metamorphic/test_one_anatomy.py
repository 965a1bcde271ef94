"""The same anatomy, given in another way, gives the same patches, embeddings and scores."""

import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.study import Study, read_study
from dras_model.pipeline import encode
from dras_model.preparing import Prepared, prepare


@pytest.fixture(scope="module")
def canonical(phantom_study: Path, atlas: Atlas) -> Prepared:
    return prepare(phantom_study, atlas=atlas)


@pytest.fixture(scope="module")
def read(phantom_study: Path) -> Study:
    return read_study(phantom_study)


@pytest.fixture(scope="module")
def embeddings(canonical: Prepared, atlas: Atlas, encoder: Encoder) -> np.ndarray:
    return encode(canonical, atlas=atlas, encoder=encoder)


def _shuffled_names(phantom: Phantom, folder: Path) -> None:
    paths = write_series(phantom.volume, folder)
    names = list(range(len(paths)))
    random.Random(4).shuffle(names)
    for path, name in zip(paths, names, strict=True):
        path.rename(folder / f"{name:03d}.bin")


def _with(**options: object) -> Callable[[Phantom, Path], None]:
    def make(phantom: Phantom, folder: Path) -> None:
        write_series(phantom.volume, folder, SeriesOptions(**options))  # type: ignore[arg-type]

    return make


def _turned(orientation: str) -> Callable[[Phantom, Path], None]:
    def make(phantom: Phantom, folder: Path) -> None:
        write_series(phantom.volume.oriented(orientation), folder)

    return make


def _feet_first(phantom: Phantom, folder: Path) -> None:
    write_series(phantom.volume.oriented("LPI"), folder, SeriesOptions(patient_position="FFS"))


def _zipped(phantom: Phantom, folder: Path) -> None:
    write_series(phantom.volume, folder / "x")
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        for path in (folder / "x").iterdir():
            archive.write(path, path.name)
    shutil.rmtree(folder / "x")


def _with_strangers(phantom: Phantom, folder: Path) -> None:
    write_series(phantom.volume, folder)
    (folder / "README.txt").write_text("a viewer lives here")
    (folder / "DICOMDIR.bak").write_bytes(bytes(2000))
    write_series(phantom.volume, folder / "mr", SeriesOptions(modality="MR", seed=9))


VARIANTS: dict[str, Callable[[Phantom, Path], None]] = {
    "shuffled and renamed": _shuffled_names,
    "instance numbers reversed": _with(instance_numbers="descending"),
    "instance numbers missing": _with(instance_numbers="missing"),
    "feet first": _feet_first,
    "flipped left to right": _turned("RPS"),
    "coronal": _turned("LSA"),
    "sagittal": _turned("PSR"),
    "signed stored values": _with(signed=True, intercept=0.0),
    "half-unit slope": _with(slope=0.5),
    "implicit VR": _with(transfer_syntax=ImplicitVRLittleEndian),
    "big endian": _with(transfer_syntax=ExplicitVRBigEndian),
    "deflated": _with(transfer_syntax=DeflatedExplicitVRLittleEndian),
    "RLE": _with(transfer_syntax=RLELossless),
    "JPEG 2000 lossless": _with(transfer_syntax=JPEG2000Lossless),
    "JPEG lossless": _with(transfer_syntax=JPEGLosslessSV1),
    "JPEG-LS lossless": _with(transfer_syntax=JPEGLSLossless),
    "among strangers": _with_strangers,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_voxels_give_the_same_bits(
    variant: str, phantom: Phantom, read: Study, canonical: Prepared, atlas: Atlas, tmp_path: Path
) -> None:
    VARIANTS[variant](phantom, tmp_path)
    if _is_the_same_to_what_follows(read_study(tmp_path), read):
        return
    found = prepare(tmp_path, atlas=atlas)
    np.testing.assert_array_equal(found.patches.hu, canonical.patches.hu)
    np.testing.assert_array_equal(found.patches.valid, canonical.patches.valid)
    for name, column in canonical.scoring.patches.items():
        np.testing.assert_array_equal(found.scoring.patches[name], column)
    assert [score.value for score in found.scores] == [score.value for score in canonical.scores]


def test_a_zip_gives_the_same_bits(phantom: Phantom, read: Study, tmp_path: Path) -> None:
    _zipped(phantom, tmp_path)
    assert _is_the_same_to_what_follows(read_study(tmp_path / "study.zip"), read)


def _is_the_same_to_what_follows(one: Study, other: Study) -> bool:
    """Whether all after reading is given the same; that the same gives the same bits has a test of its own."""
    headers = [
        (study.header.acquisition, study.header.warnings, study.header.grid.shape) for study in (one, other)
    ]
    return (
        headers[0] == headers[1]
        and np.array_equal(one.header.grid.affine, other.header.grid.affine)
        and np.array_equal(one.volume.grid.affine, other.volume.grid.affine)
        and np.array_equal(one.volume.hu, other.volume.hu)
    )


@pytest.mark.parametrize("orientation", ["LAS", "RAS", "LPS", "ASL"])
def test_nifti_in_any_orientation_gives_the_same_embeddings_and_scores(
    orientation: str, phantom: Phantom, canonical: Prepared, embeddings: np.ndarray, atlas: Atlas,
    encoder: Encoder, tmp_path: Path,
) -> None:  # fmt: skip
    turned = phantom.volume.oriented(orientation)
    path = tmp_path / "study.nii.gz"
    write_nifti(path, turned.hu.astype(np.int16), turned.grid)
    # nibabel names the directions in RAS letters: what grows to the left is "L" in both.
    assert "".join(nib.aff2axcodes(nib.load(path).affine)) == orientation
    found = prepare(path, atlas=atlas)
    ours = encode(found, atlas=atlas, encoder=encoder)
    cosine = (ours * embeddings).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(embeddings, axis=1)
    assert cosine.min() >= 0.9999
    for one, other in zip(found.scores, canonical.scores, strict=True):
        # pytest compares None with None only where no tolerance is relative
        assert one.value == (None if other.value is None else pytest.approx(other.value, rel=1e-6))


def test_padding_outside_the_circle_changes_no_embedding(
    phantom: Phantom,
    canonical: Prepared,
    embeddings: np.ndarray,
    atlas: Atlas,
    encoder: Encoder,
    tmp_path: Path,
) -> None:
    write_series(phantom.volume, tmp_path, SeriesOptions(signed=True, intercept=0.0, padding=-2000))
    found = prepare(tmp_path, atlas=atlas)
    both = found.patches.valid & canonical.patches.valid
    assert both.sum() >= 0.95 * len(both)
    ours = encode(found, atlas=atlas, encoder=encoder)[both]
    theirs = embeddings[both]
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert np.median(cosine) >= 0.9999
    assert [score.value for score in found.scores] == [score.value for score in canonical.scores]


def test_two_runs_give_the_same_bits(
    phantom_study: Path, canonical: Prepared, embeddings: np.ndarray, atlas: Atlas, encoder: Encoder
) -> None:
    again = prepare(phantom_study, atlas=atlas)
    np.testing.assert_array_equal(again.patches.hu, canonical.patches.hu)
    np.testing.assert_array_equal(again.alignment.matrix, canonical.alignment.matrix)
    np.testing.assert_array_equal(encode(again, atlas=atlas, encoder=encoder), embeddings)
    assert again.scores == canonical.scores
    assert UID(again.header.series_uid).is_valid
