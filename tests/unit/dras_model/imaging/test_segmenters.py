import numpy as np
import pytest

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.lungs import find_lungs
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.segmenters import load_segmenter
from dras_model.imaging.volume import Volume
from dras_model.pipeline import extract
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

HERE = __name__


def only_thin(volume: Volume) -> np.ndarray:
    """Ours without vessels: a segmenter that differs in a known way."""
    return np.where(volume.hu < -500, find_lungs(volume), 0)


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


def test_another_segmenter_takes_our_place_and_is_told(
    named: str, phantom_study, atlas: Atlas, encoder: Encoder, tmp_path
) -> None:
    ours = extract(phantom_study, tmp_path / "ours", atlas=atlas, encoder=encoder)
    theirs = extract(
        phantom_study, tmp_path / "theirs", atlas=atlas, encoder=encoder, segmenter=f"{named}:only_thin"
    )
    assert theirs.score("volume").value < ours.score("volume").value
    assert theirs.score("MLD").value < ours.score("MLD").value
    assert theirs.provenance.parameters["segmenter"] == f"{named}:only_thin"
    assert ours.provenance.parameters["segmenter"] == "builtin"


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
