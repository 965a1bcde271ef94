import hashlib
from pathlib import Path

import numpy as np
import pytest

from dras_model.choices import Choices
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.lungs import find_lungs
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.segmenters import load_segmenter
from dras_model.imaging.volume import Volume
from dras_model.pipeline import describe
from dras_model.preparing import prepare
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import StudyResult

HERE = __name__


def without_the_back(volume: Volume) -> np.ndarray:
    """Ours without its hindmost tenth, the densest: a segmenter that differs in a known way."""
    labels = find_lungs(volume)
    labels[:, : int(np.percentile(np.nonzero(labels)[1], 10))] = 0
    return labels


def of_another_shape(volume: Volume) -> np.ndarray:
    return np.zeros((3, 3, 3))


def with_lobes(volume: Volume) -> np.ndarray:
    return np.full(volume.grid.shape, 7)


def broken(volume: Volume) -> np.ndarray:
    raise RuntimeError("no weights here")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which this module can be imported."""
    import sys  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "a_segmenter", sys.modules[HERE])
    return "a_segmenter"


def measured(study: Path, choices: Choices, atlas: Atlas, encoder: Encoder) -> StudyResult:
    """The result of a study without embeddings, which no segmenter makes."""
    return describe(prepare(study, atlas=atlas, choices=choices), encoder.bundle)


def test_another_segmenter_takes_our_place_and_is_told(
    named: str, phantom_study: Path, atlas: Atlas, encoder: Encoder
) -> None:
    ours = measured(phantom_study, Choices(), atlas, encoder)
    theirs = measured(phantom_study, Choices(segmenter=f"{named}:without_the_back"), atlas, encoder)
    assert theirs.score("volume").value < ours.score("volume").value
    assert theirs.score("MLD").value < ours.score("MLD").value
    assert theirs.provenance.parameters["segmenter"] == f"{named}:without_the_back"
    assert ours.provenance.parameters["segmenter"] == "builtin"


def test_a_given_mask_takes_the_place_of_any_segmenter_and_is_told_by_its_digest(
    phantom: Phantom, phantom_study: Path, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    truth = phantom.truth.lungs
    write_nifti(tmp_path / "mask.nii.gz", truth.labels, truth.grid)
    result = measured(phantom_study, Choices(lung_mask=tmp_path / "mask.nii.gz"), atlas, encoder)
    for side, label in (("right", RIGHT), ("left", LEFT)):
        true_ml = np.count_nonzero(truth.labels == label) * truth.grid.voxel_ml
        assert result.score("volume", side).value == pytest.approx(true_ml)
    digest = hashlib.sha256((tmp_path / "mask.nii.gz").read_bytes()).hexdigest()
    assert result.provenance.parameters["lung_mask_sha256"] == digest
    assert result.provenance.parameters["segmenter"] == "given mask"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_colon", "name it as"),
        ("no.such.module:f", "ModuleNotFoundError"),
        ("json:no_such_function", "AttributeError"),
    ],
)
def test_a_segmenter_that_is_not_there_is_named(name: str, reason: str) -> None:
    with pytest.raises(SetupRefused, match=reason) as refused:
        load_segmenter(name)
    assert refused.value.code is Code.SEGMENTER_INVALID


@pytest.mark.parametrize(
    ("function", "reason"),
    [("of_another_shape", "returned"), ("with_lobes", "labels are not"), ("broken", "raised RuntimeError")],
)
def test_what_a_segmenter_returns_is_checked(
    function: str, reason: str, named: str, phantom: Phantom
) -> None:
    with pytest.raises(SetupRefused, match=reason):
        load_segmenter(f"{named}:{function}")(phantom.volume.oriented("LAS"))
