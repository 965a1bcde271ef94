"""Which harmonised scores a scan gets, with which warnings, and when they are null."""

import numpy as np
import pytest

from dras_model.imaging.phantom.reconstruction import Reconstruction, reconstruct
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.study import Region
from dras_model.scores.densitometry import Conditions
from dras_model.scores.harmonisation import METHOD, harmonise
from dras_model.scores.harmonised import harmonised_scores
from dras_model.scores.regions import find_cells

ALL = (Code.SHARP_KERNEL, Code.HIGH_NOISE, Code.CONTRAST_ENHANCED, Code.THICK_SLICE)


def _scan(kernel: str, noise_hu: float) -> tuple[Volume, LabelMap]:
    exact = np.full((12, 192, 192), 48.0)
    labels = np.zeros(exact.shape, dtype=np.uint8)
    labels[:, 56:136, 30:90], labels[:, 56:136, 102:162] = 1, 2
    exact[labels > 0] = -870.0
    grid = Grid(exact.shape, np.array([[0, 0, 0.75, 0], [0, 0.75, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]]))
    return Volume(reconstruct(exact, 0.75, Reconstruction(kernel, noise_hu)), grid), LabelMap(labels, grid)


@pytest.fixture(scope="module")
def standard() -> tuple[Volume, LabelMap]:
    return _scan("standard", 20.0)


def test_a_harmonised_score_names_its_image_and_its_method(standard: tuple[Volume, LabelMap]) -> None:
    volume, lungs = standard
    cells = find_cells(lungs, peel_mm=5.0)
    scores, warnings, quality = harmonised_scores(
        volume, harmonise(volume, lungs), cells, conditions=Conditions(phase="inspiration")
    )
    given = {(score.code, score.region): score for score in scores}
    laa = given["LAA-950insp", Region.WHOLE]
    assert warnings == ()
    assert quality is not None
    assert 20.0 < quality.noise_tissue_hu < 40.0  # the kernel passes more than the soft one, of 20 HU
    assert laa.image == "harmonised"
    assert METHOD in laa.definition
    assert "Gallardo-Estrella" in laa.reference
    assert laa.value == pytest.approx(0.0, abs=0.05)
    assert given["Perc15", Region.RIGHT].value == pytest.approx(-870.0, abs=12.0)  # raw, -896 HU
    assert {code for code, _ in given} >= {"LAA-950insp", "LAA-910insp", "Perc15", "Perc15-density"}


def test_warnings_that_the_image_answers_are_gone_and_others_stay(standard: tuple[Volume, LabelMap]) -> None:
    volume, lungs = standard
    cells = find_cells(lungs, peel_mm=5.0)
    scores, _, _ = harmonised_scores(
        volume, harmonise(volume, lungs), cells, conditions=Conditions(warnings=ALL)
    )
    perc15 = next(score for score in scores if score.code == "Perc15")
    assert set(perc15.warnings) == {Code.CONTRAST_ENHANCED, Code.THICK_SLICE}


def test_beyond_what_was_validated_every_value_is_null_with_the_reason_and_a_warning_says_so() -> None:
    volume, lungs = _scan("edge", 50.0)
    cells = find_cells(lungs, peel_mm=5.0)
    scores, warnings, _ = harmonised_scores(volume, harmonise(volume, lungs), cells, conditions=Conditions())
    assert [warning.code for warning in warnings] == [Code.HARMONISATION_LIMITED]
    assert all(score.value is None and score.reason for score in scores)
    assert "lowest stored value" in warnings[0].message
