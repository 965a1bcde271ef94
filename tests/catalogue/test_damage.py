"""One file of a study is damaged at random, in every transfer syntax: it is read, or refused with a code."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dras_model.imaging.loading import load_study
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.reading.parent import ReaderDefect
from dras_model.imaging.study import read_study
from dras_model.results.errors import StudyRefused

# Read in this process. JPEG lossless is not among them: its codec may end the process.
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    JPEGLSLossless,
]


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make_phantom(PhantomSpec(n_slices=30, matrix=64))


def _damage(content: bytearray, rng: random.Random) -> bytearray:
    """Change some bytes, cut the end off, or push bytes in; the preamble and magic stay."""
    how = rng.choice(["change", "change", "cut", "push"])
    if how == "change":
        end = min(len(content), rng.choice([900, len(content)]))
        for _ in range(rng.choice([1, 3, 20])):
            content[rng.randrange(132, end)] = rng.randrange(256)
    elif how == "cut":
        del content[rng.randrange(len(content)) :]
    else:
        place = rng.randrange(132, len(content))
        content[place:place] = rng.randbytes(rng.randrange(1, 50))
    return content


def _damage_one(folder: Path, rng: random.Random) -> None:
    file = rng.choice(sorted(folder.iterdir()))
    file.write_bytes(_damage(bytearray(file.read_bytes()), rng))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    syntax: UID, small: Phantom, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    write_series(small.volume, whole, SeriesOptions(transfer_syntax=syntax))
    refused = 0
    for seed in range(12):
        rng = random.Random(f"{syntax} {seed}")
        damaged = tmp_path / str(seed)
        shutil.copytree(whole, damaged)
        _damage_one(damaged, rng)
        try:
            assert np.isfinite(load_study(damaged).volume.hu).all()
        except StudyRefused:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_of_jpeg_lossless_is_survived(seed: int, small: Phantom, tmp_path: Path) -> None:
    rng = random.Random(seed)
    write_series(small.volume, tmp_path, SeriesOptions(transfer_syntax=JPEGLosslessSV1))
    _damage_one(tmp_path, rng)
    try:
        assert np.isfinite(read_study(tmp_path).volume.hu).all()
    except StudyRefused as refused:
        assert str(refused)  # noqa: PT017 - either is right
    except ReaderDefect as defect:
        pytest.fail(f"an error that nobody has sorted: {defect}")
