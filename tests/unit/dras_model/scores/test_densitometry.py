import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.phantom import Emphysema, Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom.clusters import plant_clusters, power_law_sizes
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import Region, Score
from dras_model.scores.definitions import DEFINITIONS
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.limits import Limits
from dras_model.scores.regions import find_cells

from .conftest import AFFINE, counted, invented, scores_of

THIN_TAIL = {definition.code for definition in DEFINITIONS if definition.thin_tail}
PART_OF_WHOLE = (Region.APICAL, Region.MIDDLE, Region.BASAL)
SIDES = {Region.WHOLE: (RIGHT, LEFT), Region.RIGHT: (RIGHT,), Region.LEFT: (LEFT,)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_every_score_is_what_counting_by_hand_gives(seed: int) -> None:
    volume, lungs = invented(seed)
    scores = scores_of(volume, lungs)
    for region, sides in SIDES.items():
        values = volume.hu[np.isin(lungs.labels, sides)].astype(float).tolist()
        for code, value in counted(values, volume.grid.voxel_ml).items():
            assert scores[code, region].value == pytest.approx(value, rel=1e-6, abs=1e-6), (code, region)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_values_that_are_not_whole_are_counted_to_a_32nd_of_a_unit(seed: int) -> None:
    volume, lungs = invented(seed, whole=False)
    scores = scores_of(volume, lungs)
    values = volume.hu[np.isin(lungs.labels, (RIGHT, LEFT))].astype(float).tolist()
    expected = counted(values, volume.grid.voxel_ml)
    for code in ("LAA-950insp", "LAA-910insp", "LAA-856insp", "volume", "mode"):
        assert scores[code, Region.WHOLE].value == pytest.approx(expected[code])
    for code in ("Perc15", "MLD", "SD", "median"):
        assert scores[code, Region.WHOLE].value == pytest.approx(expected[code], abs=1 / 32 + 1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_whole_is_the_voxel_weighted_mean_of_its_parts(seed: int) -> None:
    scores = scores_of(*invented(seed))
    for code in ("LAA-950insp", "LAA-856insp", "MLD", "HAA"):
        parts = [scores[code, part] for part in PART_OF_WHOLE]
        mean = sum(part.value * part.n_voxels for part in parts) / sum(part.n_voxels for part in parts)
        assert scores[code, Region.WHOLE].value == pytest.approx(mean)
    for code in ("volume", "mass", "air"):
        assert scores[code, Region.WHOLE].value == pytest.approx(
            sum(scores[code, p].value for p in PART_OF_WHOLE)
        )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(-40, 40))
def test_a_shift_of_all_values_shifts_positions_and_leaves_shapes(seed: int, shift: int) -> None:
    volume, lungs = invented(seed)
    before, after = scores_of(volume, lungs), scores_of(Volume(volume.hu + shift, volume.grid), lungs)
    for code in ("Perc15", "Perc15-density", "MLD", "median", "mode"):
        assert after[code, Region.WHOLE].value == pytest.approx(before[code, Region.WHOLE].value + shift)
    for code in ("SD", "skewness", "kurtosis", "volume"):
        assert after[code, Region.WHOLE].value == pytest.approx(before[code, Region.WHOLE].value, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_where_in_a_lung_a_value_lies_changes_no_score_of_its_histogram(seed: int) -> None:
    volume, lungs = invented(seed)
    shuffled = volume.hu.copy()
    for label in (RIGHT, LEFT):
        own = lungs.labels == label
        shuffled[own] = np.random.default_rng(seed).permutation(volume.hu[own])
    before, after = scores_of(volume, lungs), scores_of(Volume(shuffled, volume.grid), lungs)
    for code in counted([1.0, 2.0, 3.0, 5.0], 1.0):
        for region in SIDES:
            assert after[code, region].value == before[code, region].value


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_more_is_low_at_a_higher_threshold_and_air_and_tissue_make_up_the_volume(seed: int) -> None:
    scores = scores_of(*invented(seed))
    low = [scores[f"LAA-{threshold}insp", Region.WHOLE].value for threshold in (950, 925, 910, 856)]
    assert low == sorted(low)
    volume, air, mass = (scores[code, Region.WHOLE].value for code in ("volume", "air", "mass"))
    assert air + mass == pytest.approx(volume)


def test_a_voxel_at_the_threshold_counts_as_low() -> None:
    volume, lungs = invented(0)
    at = Volume(np.full(volume.hu.shape, -950.0, np.float32), volume.grid)
    assert scores_of(at, lungs)["LAA-950insp", Region.WHOLE].value == 100.0


@pytest.mark.parametrize(
    ("kind", "fraction"),
    [(EmphysemaKind.CENTRILOBULAR, 0.05), (EmphysemaKind.PARASEPTAL, 0.03), (EmphysemaKind.PANLOBULAR, 0.3)],
)
def test_planted_emphysema_without_noise_is_found_to_a_hundredth_of_a_point(
    kind: EmphysemaKind, fraction: float
) -> None:
    spec = PhantomSpec(seed=9, n_slices=60, matrix=96, noise_hu=0.0, emphysema=Emphysema(kind, fraction))
    phantom = make_phantom(spec)
    scores = scores_of(phantom.volume, phantom.truth.lungs)
    for region in SIDES:
        truth = phantom.truth.measure(region)
        assert scores["volume", region].n_voxels == truth.n_voxels
        assert scores["LAA-950insp", region].value == pytest.approx(truth.emphysema_percent, abs=0.01)
        assert scores["MLD", region].value == pytest.approx(truth.mean_hu, abs=1e-6)


@pytest.mark.parametrize("place", [Region.APICAL, Region.BASAL])
def test_emphysema_of_one_end_is_told_by_heterogeneity_and_thirds(place: Region) -> None:
    spec = PhantomSpec(
        seed=2,
        n_slices=60,
        matrix=96,
        noise_hu=0.0,
        emphysema=Emphysema(EmphysemaKind.PANLOBULAR, 0.08, place),
    )
    phantom = make_phantom(spec)
    scores = scores_of(phantom.volume, phantom.truth.lungs)
    sign = 1.0 if place is Region.APICAL else -1.0
    assert sign * scores["heterogeneity", Region.WHOLE].value > 85.0
    assert scores["LAA-950insp", place].value > 20.0


def test_heterogeneity_is_the_difference_of_the_thirds_over_their_sum() -> None:
    scores = scores_of(*invented(3))
    apical, basal = (scores["LAA-950insp", third].value for third in (Region.APICAL, Region.BASAL))
    found = scores["heterogeneity", Region.WHOLE]
    assert found.value == pytest.approx(100 * (apical - basal) / (apical + basal))
    assert found.details == {"apical_percent": apical, "basal_percent": basal}


def test_a_planted_exponent_is_the_score_of_its_lung(still_lungs: Phantom) -> None:
    lungs = still_lungs.truth.lungs
    hu = still_lungs.volume.hu.copy()
    inside = (lungs.labels == RIGHT) & (hu < -600)
    hu[plant_clusters(inside, np.minimum(power_law_sizes(150, 1.2, smallest=4), 3000), seed=1)] = -990.0
    found = scores_of(Volume(hu, lungs.grid), lungs)["LAC-D", Region.RIGHT]
    assert found.value == pytest.approx(1.2, abs=0.05)
    assert found.details["n_clusters"] == 150
    assert found.details["smallest_mm3"] == pytest.approx(4 * 3 * 3 * 3.75)


def test_too_few_clusters_give_no_exponent_and_say_how_many_there_are(still_lungs: Phantom) -> None:
    found = scores_of(still_lungs.volume, still_lungs.truth.lungs)["LAC-D", Region.WHOLE]
    assert found.value is None
    assert found.reason == "0 clusters of 135.0 mm³ and more, 50 are needed"


def test_clusters_do_not_reach_from_one_lung_into_the_other() -> None:
    labels = np.full((6, 6, 12), RIGHT, np.uint8)
    labels[:, :, 6:] = LEFT
    grid = Grid(labels.shape, AFFINE)
    low = Volume(np.full(labels.shape, -990.0, np.float32), grid)
    limits = Limits(least_clusters=3)
    scores = scores_of(low, LabelMap(labels, grid), limits=limits)
    assert scores["LAC-D", Region.WHOLE].reason.startswith("2 clusters")
    assert scores["LAC-D", Region.LEFT].reason.startswith("1 clusters")


def test_a_reference_volume_brings_the_density_to_it_by_the_sponge_model() -> None:
    volume, lungs = invented(7)
    plain = scores_of(volume, lungs)
    half = plain["volume", Region.WHOLE].value / 2.0
    adjusted = scores_of(volume, lungs, reference_volume_ml=half)["Perc15-adjusted", Region.WHOLE]
    assert adjusted.value == pytest.approx(2.0 * plain["Perc15-density", Region.WHOLE].value)
    assert adjusted.details == {"reference_volume_ml": half}
    missing = plain["Perc15-adjusted", Region.WHOLE]
    assert missing.value is None
    assert "no reference volume" in missing.reason


@pytest.mark.parametrize(
    ("phase", "code", "reason"),
    [
        ("expiration", "LAA-950insp", "defined at full inspiration"),
        ("expiration", "LAC-D", "defined at full inspiration"),
        ("inspiration", "LAA-856exp", "the scan is at inspiration"),
        ("unknown", "LAA-856exp", "--phase expiration"),
    ],
)
def test_a_score_of_the_other_breath_is_withheld_with_the_reason(phase: str, code: str, reason: str) -> None:
    score = scores_of(*invented(1), phase=phase)[code, Region.WHOLE]
    assert score.value is None
    assert reason in score.reason
    assert score.phase == phase


def test_gas_trapping_is_given_on_an_expiratory_scan() -> None:
    volume, lungs = invented(1)
    trapped = scores_of(volume, lungs, phase="expiration")["LAA-856exp", Region.WHOLE]
    assert trapped.value == scores_of(volume, lungs)["LAA-856insp", Region.WHOLE].value


def test_an_empty_region_gives_null_with_a_reason() -> None:
    volume, lungs = invented(2)
    labels = np.where(lungs.labels == LEFT, 0, lungs.labels).astype(np.uint8)
    for (_, region), score in scores_of(volume, LabelMap(labels, volume.grid)).items():
        if region.startswith("left"):
            assert score.value is None
            assert score.reason


def test_slices_above_five_millimetres_withhold_the_thin_tail_only() -> None:
    plain, thick = scores_of(*invented(3)), scores_of(*invented(3), thickness_mm=6.0)
    for place, score in thick.items():
        assert (score.value is None) == (plain[place].value is None or place[0] in THIN_TAIL)
    at_five = scores_of(*invented(3), thickness_mm=5.0)
    assert {place for place, score in at_five.items() if score.value is None} == {
        place for place, score in plain.items() if score.value is None
    }


@pytest.mark.parametrize(("percent", "known"), [(16.0, True), (67.0, False)])
def test_thirds_and_halves_of_lungs_that_the_scan_cuts_are_withheld(percent: float, known: bool) -> None:
    cut = scores_of(*invented(6), cut_percent=percent)
    for region in (Region.APICAL, Region.LEFT_BASAL, Region.DORSAL):
        assert (cut["MLD", region].value is not None) == known
        assert known or "the scan ends within the lungs" in cut["MLD", region].reason
    assert (cut["heterogeneity", Region.WHOLE].value is not None) == known
    assert all(cut["MLD", region].value is not None for region in (*SIDES, Region.PEEL))


def test_a_warning_is_attached_once_and_only_where_it_bears_on_the_number() -> None:
    codes = (Code.INCOMPLETE_LUNG, Code.SHARP_KERNEL, Code.INCOMPLETE_LUNG, Code.REGISTRATION_SUSPECT)
    scores = scores_of(*invented(5), warnings=codes)
    assert scores["Perc15", Region.WHOLE].warnings == (Code.INCOMPLETE_LUNG, Code.SHARP_KERNEL)
    assert scores["volume", Region.WHOLE].warnings == (Code.INCOMPLETE_LUNG,)


def test_another_image_of_the_same_lungs_is_measured_with_a_choice_of_scores() -> None:
    volume, lungs = invented(8)
    cells = find_cells(lungs, peel_mm=2.0)
    chosen = [definition for definition in DEFINITIONS if definition.code in {"Perc15", "MLD"}]
    smooth = Volume(volume.hu - 5.0, volume.grid)
    scores = measure(smooth, cells, conditions=Conditions(), definitions=chosen, image="harmonised")
    assert {(score.code, score.image) for score in scores} == {
        ("Perc15", "harmonised"),
        ("MLD", "harmonised"),
    }


def test_an_image_of_other_voxels_than_the_lungs_is_refused() -> None:
    volume, lungs = invented(8)
    moved = volume.grid.affine.copy()
    moved[0, 3] += 3.0
    elsewhere = Volume(volume.hu, Grid(volume.grid.shape, moved))
    with pytest.raises(StudyRefused) as refused:
        measure(elsewhere, find_cells(lungs, peel_mm=2.0), conditions=Conditions())
    assert refused.value.code is Code.MASK_GEOMETRY


def test_every_score_has_its_column_in_the_table() -> None:
    assert [definition.code for definition in DEFINITIONS] == list(COLUMNS)


def test_a_definition_tells_the_limits_that_were_used() -> None:
    limits = Limits(smallest_cluster_mm3=20.0, least_clusters=7)
    text = scores_of(*invented(0), limits=limits)["LAC-D", Region.WHOLE].definition
    assert "at least 20 mm³" in text
    assert "below 7 clusters" in text


def test_what_is_said_of_a_score_is_complete() -> None:
    for score in scores_of(*invented(0)).values():
        assert isinstance(score, Score)
        assert score.definition
        assert score.reference
        assert score.unit
        assert score.volume_ml == pytest.approx(score.n_voxels * 0.7 * 0.7 * 1.0 / 1000.0)
