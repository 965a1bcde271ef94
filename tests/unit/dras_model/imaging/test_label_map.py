"""The door for masks: what `given_mask` parses comes from another process, refusals and all."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dras_model.imaging import given_mask
from dras_model.imaging.label_map import read_label_map
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.reading import parent
from dras_model.imaging.volume import Grid
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

AFFINE = np.array([[0, 0, 0.7, -50], [0, -0.8, 0, 1 / 3], [2.5, 0, 0, -300], [0, 0, 0, 1.0]])
GRID = Grid((6, 8, 10), AFFINE)
LABELS = np.random.default_rng(3).integers(0, 6, GRID.shape).astype(np.uint8)


@pytest.fixture
def mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mask that this process may not parse."""

    def parse(*_: object) -> None:
        raise AssertionError("the mask was parsed in the process that trusts it")

    monkeypatch.setattr(given_mask, "load_array", parse)
    monkeypatch.setattr(given_mask, "load_label_map", parse)
    path = tmp_path / "mask.nii.gz"
    write_nifti(path, LABELS, GRID)
    return path


def test_labels_are_parsed_by_another_process_and_arrive_on_the_grid_of_the_study(mask: Path) -> None:
    found = read_label_map(mask, GRID)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.grid is GRID
    found.labels[0, 0, 0] = 9  # our own copy


def test_a_refusal_of_the_other_process_arrives_with_its_code_and_its_words(mask: Path) -> None:
    beside = AFFINE.copy()
    beside[0, 3] += 0.35
    with pytest.raises(StudyRefused, match=r"0\.700") as refused:
        read_label_map(mask, Grid(GRID.shape, beside))
    assert refused.value.code is Code.MASK_GEOMETRY
    mask.write_bytes(b"hello")
    with pytest.raises(StudyRefused, match="damaged") as refused:
        read_label_map(mask, GRID)
    assert refused.value.code is Code.MASK_INVALID


def test_a_mask_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_label_map(tmp_path / "absent.nrrd", GRID)
    assert refused.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("script", ["os.abort()", "os.ftruncate(request['voxels'], 0); print(LABELLED)"])
def test_a_mask_that_brings_the_process_down_is_refused(
    script: str, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (
        "import os, sys, json\nrequest = json.loads(sys.stdin.readline())\n"
        "LABELLED = json.dumps({'kind': 'labelled'})\n"
        "print(json.dumps({'kind': 'ready', 'guards': ['filter']}), flush=True)\n"
    )
    monkeypatch.setattr(parent, "_COMMAND", (sys.executable, "-c", start + script))
    with pytest.raises(StudyRefused) as refused:
        read_label_map(mask, GRID)
    assert refused.value.code is Code.READER_CRASHED
