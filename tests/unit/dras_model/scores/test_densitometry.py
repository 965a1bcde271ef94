import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import Lungs
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import LungQuality, Region, Score
from dras_model.scores.definitions import DEFINITIONS
from dras_model.scores.densitometry import measure

QUALITY = LungQuality(
    right_ml=1, left_ml=1, airway_ml=0, mean_hu=-850, height_mm=100, touches_top_percent=0,
    touches_bottom_percent=0, touches_side_percent=0,
)  # fmt: skip


def _measure(volume: Volume, lungs: Lungs, *warnings: Code, thickness_mm: float = 1.0) -> tuple[Score, ...]:
    return measure(volume, lungs, warnings=warnings, thickness_mm=thickness_mm)


def _case(seed: int) -> tuple[Volume, Lungs]:
    rng = np.random.default_rng(seed)
    shape = (9, 8, 10)
    hu = rng.integers(-1024, -300, shape).astype(np.float32)
    labels = rng.choice(np.array([0, RIGHT, LEFT, 3], np.uint8), shape)
    grid = Grid(shape, np.array([[0, 0, 0.7, 0], [0, -0.7, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]]))
    return Volume(hu, grid), Lungs(LabelMap(labels, grid), QUALITY)


def _slow(volume: Volume, labels: np.ndarray, sides: tuple[int, ...]) -> dict[str, float]:
    """Every score by counting voxel after voxel in plain Python."""
    values = sorted(
        float(volume.hu[z, y, x])
        for z in range(volume.hu.shape[0])
        for y in range(volume.hu.shape[1])
        for x in range(volume.hu.shape[2])
        if labels[z, y, x] in sides
    )
    n = len(values)
    voxel_ml = 0.7 * 0.7 * volume.grid.spacing_mm[0] / 1000.0
    rank = 0.15 * (n - 1)
    low = int(rank)
    high = min(low + 1, n - 1)
    return {
        "LAA-950insp": 100.0 * sum(v <= -950 for v in values) / n,
        "LAA-910insp": 100.0 * sum(v <= -910 for v in values) / n,
        "Perc15": values[low] + (rank - low) * (values[high] - values[low]),
        "MLD": sum(values) / n,
        "volume": n * voxel_ml,
        "mass": sum((max(v, -1000.0) + 1000.0) / 1000.0 * voxel_ml for v in values),
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_every_score_is_what_counting_by_hand_gives(seed: int) -> None:
    volume, lungs = _case(seed)
    scores = {(score.code, score.region): score for score in _measure(volume, lungs)}
    for region, sides in ((Region.WHOLE, (RIGHT, LEFT)), (Region.RIGHT, (RIGHT,)), (Region.LEFT, (LEFT,))):
        for code, value in _slow(volume, lungs.map.labels, sides).items():
            assert scores[code, region].value == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_a_voxel_at_the_threshold_counts_as_low() -> None:
    volume, lungs = _case(0)
    hu = np.full(volume.hu.shape, -950.0, np.float32)
    scores = _measure(Volume(hu, volume.grid), lungs)
    assert next(s for s in scores if s.code == "LAA-950insp" and s.region == "whole").value == 100.0


def test_thirds_hold_equal_volumes_and_sum_to_the_whole() -> None:
    volume, _ = _case(4)
    full = Lungs(
        LabelMap(
            np.where(np.arange(10) < 5, RIGHT, LEFT).astype(np.uint8) * np.ones((9, 8, 10), np.uint8),
            volume.grid,
        ),
        QUALITY,
    )
    n = {s.region: s.n_voxels for s in _measure(volume, full) if s.code == "volume"}
    assert n[Region.RIGHT_APICAL] == n[Region.RIGHT_MIDDLE] == n[Region.RIGHT_BASAL]
    assert n[Region.APICAL] + n[Region.MIDDLE] + n[Region.BASAL] == n[Region.WHOLE]


def test_apical_is_at_the_head() -> None:
    volume, _ = _case(1)
    hu = np.full(volume.hu.shape, -800.0, np.float32)
    hu[-3:] = -990.0  # z grows to the head
    lungs = Lungs(LabelMap(np.full(hu.shape, RIGHT, np.uint8), volume.grid), QUALITY)
    scores = {(s.code, s.region): s.value for s in _measure(Volume(hu, volume.grid), lungs)}
    assert scores["LAA-950insp", Region.APICAL] == 100.0
    assert scores["LAA-950insp", Region.BASAL] == 0.0


def test_an_empty_region_gives_null_with_a_reason() -> None:
    volume, lungs = _case(2)
    labels = np.where(lungs.map.labels == LEFT, 0, lungs.map.labels).astype(np.uint8)
    for score in _measure(volume, Lungs(LabelMap(labels, volume.grid), QUALITY)):
        if score.region.startswith("left"):
            assert score.value is None
            assert score.reason


def test_slices_above_five_millimetres_withhold_the_thin_tail_only() -> None:
    volume, lungs = _case(3)
    for score in _measure(volume, lungs, Code.THICK_SLICE, thickness_mm=6.0):
        withheld = score.code in {"LAA-950insp", "LAA-910insp", "Perc15"}
        assert (score.value is None) == withheld
        assert (score.reason is not None) == withheld


def test_slices_of_five_millimetres_are_not_withheld() -> None:
    volume, lungs = _case(3)
    assert all(score.value is not None for score in _measure(volume, lungs, thickness_mm=5.0))


def test_a_warning_told_twice_is_attached_once() -> None:
    volume, lungs = _case(5)
    for score in _measure(volume, lungs, Code.INCOMPLETE_LUNG, Code.ATYPICAL, Code.INCOMPLETE_LUNG):
        assert score.warnings == (Code.INCOMPLETE_LUNG, Code.ATYPICAL)


def test_a_warning_is_attached_only_where_it_bears_on_the_number() -> None:
    volume, lungs = _case(5)
    for score in _measure(volume, lungs, Code.SHARP_KERNEL, Code.INCOMPLETE_LUNG):
        assert (Code.SHARP_KERNEL in score.warnings) == (
            score.code in {"LAA-950insp", "LAA-910insp", "Perc15"}
        )
        assert Code.INCOMPLETE_LUNG in score.warnings


def test_every_score_has_its_column_in_the_table() -> None:
    assert [definition.code for definition in DEFINITIONS] == list(COLUMNS)


def test_every_score_states_definition_reference_and_unit() -> None:
    for definition in DEFINITIONS:
        assert definition.definition
        assert definition.reference
        assert definition.unit


@pytest.mark.parametrize(("percent", "known"), [(16.0, True), (67.0, False)])
@pytest.mark.parametrize("end", ["touches_top_percent", "touches_bottom_percent"])
def test_thirds_of_lungs_that_the_scan_cuts_are_withheld(end: str, percent: float, known: bool) -> None:
    volume, lungs = _case(6)
    cut = Lungs(lungs.map, QUALITY.model_copy(update={end: percent}))
    for score in measure(volume, cut, warnings=[], thickness_mm=1.0):
        if score.region in {Region.WHOLE, Region.RIGHT, Region.LEFT}:
            assert score.value is not None
        else:
            assert (score.value is not None) == known
            assert known or "the scan ends within the lungs" in (score.reason or "")
