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
    JPEGLSLossless,
    RLELossless,
)

from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.study import read_study
from dras_model.results.errors import StudyRefused

# JPEG lossless is not among them: its codec may end the process, which only a process of its own survives.
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
        file = rng.choice(sorted(damaged.iterdir()))
        file.write_bytes(_damage(bytearray(file.read_bytes()), rng))
        try:
            assert np.isfinite(read_study(damaged).volume.hu).all()
        except StudyRefused:
            refused += 1
    assert refused > 0
