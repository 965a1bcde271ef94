"""The response map against a slow loop, ratios against plain division, and every reason to withhold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.pair import DeformationQuality, ResponseClass
from dras_model.results.study import Region, Score
from dras_model.scores.paired import (
    PairConditions,
    ResponseMap,
    breath_warnings,
    classify,
    deformation_warnings,
    median_filtered,
    pair_scores,
)
from dras_model.scores.paired_definitions import PAIR_DEFINITIONS, definitions_table
from dras_model.scores.regions import find_cells

GOOD = DeformationQuality(
    dice_right=0.98, dice_left=0.98, jacobian_least=0.5, jacobian_mean=1.4, jacobian_most=2.3, folded_percent=0.0,
    similarity=0.86, shift_mean_mm=20, shift_most_mm=40,
)  # fmt: skip
PLAIN = PairConditions()


def slow_class(inhaled: float, exhaled: float, lung: bool) -> int:
    if not lung:
        return 0
    if inhaled > -500 or exhaled > -500:
        return 5
    if inhaled < -950:
        return 3 if exhaled < -856 else 4
    return 2 if exhaled < -856 else 1


@given(arrays(np.float32, (2, 40), elements=st.integers(-1024, -400)), arrays(bool, 40))
def test_a_voxels_class_is_that_of_a_loop_over_the_published_rules(hu: np.ndarray, lung: np.ndarray) -> None:
    expected = [slow_class(*values) for values in zip(*hu, lung, strict=True)]
    assert classify(hu[0], hu[1], lung).tolist() == expected


@pytest.mark.parametrize(
    ("inhaled", "exhaled", "expected"),
    [
        (-950, -856, ResponseClass.NORMAL),
        (-951, -857, ResponseClass.EMPHYSEMA),
        (-950, -857, ResponseClass.SMALL_AIRWAYS),
        (-951, -856, ResponseClass.EMPTYING),
        (-500, -500, ResponseClass.NORMAL),
        (-499, -900, ResponseClass.UNCLASSIFIED),
    ],
)
def test_a_voxel_at_a_threshold_is_not_below_it(
    inhaled: float, exhaled: float, expected: ResponseClass
) -> None:
    one = np.ones(1, dtype=bool)
    assert classify(np.float32([inhaled]), np.float32([exhaled]), one) == [expected]


def test_the_filter_is_the_median_of_nine_voxels_of_one_plane() -> None:
    hu = np.random.default_rng(0).normal(-850, 50, (3, 7, 8)).astype(np.float32)
    padded = np.pad(hu, ((0, 0), (1, 1), (1, 1)), mode="edge")
    expected = [
        [[np.median(padded[z, y : y + 3, x : x + 3]) for x in range(8)] for y in range(7)] for z in range(3)
    ]
    np.testing.assert_array_equal(median_filtered(hu), np.array(expected, dtype=np.float32))


@pytest.fixture(scope="module")
def prm() -> ResponseMap:
    """Two lungs of random classes."""
    labels = np.zeros((24, 20, 30), dtype=np.uint8)
    labels[2:22, 3:17, 3:13], labels[2:22, 3:17, 17:27] = 1, 2
    affine = np.array([[0, 0, 3.0, 0], [0, -3.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    cells = find_cells(LabelMap(labels, Grid(labels.shape, affine)), peel_mm=6.0)
    classes = np.random.default_rng(1).integers(1, 6, cells.index.shape).astype(np.uint8)
    return ResponseMap(np.where(cells.index > 0, classes, 0).astype(np.uint8), cells)


def score(code: str, value: float | None, region: Region = Region.WHOLE) -> Score:
    return Score(
        code=code, value=value, unit="", region=region, n_voxels=1, volume_ml=1.0, definition="", reference="",
        reason="none" if value is None else None,
    )  # fmt: skip


def given_scores(prm: ResponseMap, conditions: PairConditions = PLAIN) -> dict[tuple[str, Region], Score]:
    inhaled = [score("MLD", -850.0), score("volume", 6000.0), score("MLD", -840.0, Region.LEFT)]
    exhaled = [score("MLD", -700.0), score("volume", 3000.0)]
    return {(s.code, s.region): s for s in pair_scores(inhaled, exhaled, prm, conditions=conditions)}


@pytest.mark.parametrize("region", [Region.WHOLE, Region.LEFT, Region.APICAL, Region.PEEL, Region.LEFT_BASAL])
def test_shares_are_counts_over_the_classified_voxels_of_a_region(prm: ResponseMap, region: Region) -> None:
    own = prm.classes[prm.cells.labels((region,)) == 1]
    scores = given_scores(prm)
    for code, label in (("PRM-normal", 1), ("PRM-fSAD", 2), ("PRM-emphysema", 3), ("PRM-emptying", 4)):
        assert scores[code, region].value == pytest.approx(100 * np.mean(own[own < 5] == label))
        assert scores[code, region].n_voxels == own.size
        assert scores[code, region].details["classified_percent"] == pytest.approx(100 * np.mean(own < 5))


def test_the_four_classes_leave_nothing_over(prm: ResponseMap) -> None:
    scores = given_scores(prm)
    for region in prm.cells.members:
        shares = [scores[d.code, region].value for d in PAIR_DEFINITIONS if d.label is not None]
        assert sum(shares) == pytest.approx(100.0)


def test_ratios_are_those_of_the_two_scans(prm: ResponseMap) -> None:
    scores = given_scores(prm)
    assert scores["E/I-MLD", Region.WHOLE].value == pytest.approx(700 / 850)
    assert scores["E-I-MLD", Region.WHOLE].value == pytest.approx(150.0)
    assert scores["E/I-volume", Region.WHOLE].value == pytest.approx(0.5)
    assert scores["E/I-MLD", Region.LEFT].reason == "MLD is not given of both scans"


def test_a_deformation_that_is_not_trusted_withholds_the_map_and_nothing_else(prm: ResponseMap) -> None:
    scores = given_scores(prm, PairConditions(withheld="the deformation is doubtful"))
    for definition in PAIR_DEFINITIONS:
        found = scores[definition.code, Region.WHOLE]
        assert (found.value is None) == (definition.label is not None)
        assert found.reason == (None if definition.label is None else "the deformation is doubtful")


def test_thirds_of_cut_lungs_are_withheld_and_lungs_are_not(prm: ResponseMap) -> None:
    scores = given_scores(prm, PairConditions(cut_percent=40.0))
    assert "ends within the lungs" in scores["PRM-fSAD", Region.APICAL].reason
    assert scores["PRM-fSAD", Region.RIGHT].value is not None


def test_a_warning_is_attached_to_the_scores_that_it_bears_on(prm: ResponseMap) -> None:
    scores = given_scores(prm, PairConditions(warnings=(Code.SHARP_KERNEL, Code.SHARP_KERNEL)))
    assert scores["PRM-fSAD", Region.WHOLE].warnings == (Code.SHARP_KERNEL,)
    assert scores["E/I-volume", Region.WHOLE].warnings == ()


def test_nothing_is_said_against_a_good_deformation() -> None:
    assert deformation_warnings(GOOD) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dice_left": 0.9}, "left lung"),
        ({"folded_percent": 0.5}, "folded"),
        ({"similarity": 0.4}, "similarity"),
    ],
)
def test_a_doubtful_deformation_is_told_with_its_number(change: dict[str, float], said: str) -> None:
    (warning,) = deformation_warnings(GOOD.model_copy(update=change))
    assert warning.code is Code.DEFORMATION_SUSPECT
    assert said in warning.message


@pytest.mark.parametrize(
    ("expiration_ml", "stated", "told"),
    [
        (3000.0, "expiration", False),
        (3000.0, None, False),
        (5600.0, None, True),
        (3000.0, "inspiration", True),
    ],
)
def test_a_second_scan_that_is_hardly_breathed_out_or_named_otherwise_is_told(
    expiration_ml: float, stated: str | None, told: bool
) -> None:
    codes = [w.code for w in breath_warnings(6000.0, expiration_ml, stated=stated)]
    assert codes == ([Code.NOT_EXPIRATION] if told else [])


def test_the_documentation_prints_the_definitions_of_the_code() -> None:
    text = (Path(__file__).parents[4] / "docs" / "paired.md").read_text("utf-8")
    assert definitions_table() in text
