import numpy as np
import pytest

from dras_model.results.codes import Code
from dras_model.results.comparison import FollowUp
from dras_model.results.study import Region, Score, StudyResult
from dras_model.scores.comparison import ADJUSTED, Embedded, compare_results, cosine_distances
from unit.dras_model.stored import stored_result


def compared(followup: StudyResult, baseline: StudyResult | None = None, **options: object) -> FollowUp:
    return compare_results(baseline or stored_result(), followup, **options)[0]


def codes(followup: FollowUp) -> set[Code]:
    return {warning.code for warning in followup.warnings} - {Code.EMBEDDINGS_INCOMPARABLE}


def changed(result: StudyResult, code: str, region: Region = Region.WHOLE, **change: object) -> StudyResult:
    def edit(score: Score) -> Score:
        return score.model_copy(update=change) if (score.code, score.region) == (code, region) else score

    return result.model_copy(update={"scores": tuple(edit(score) for score in result.scores)})


def test_two_scans_made_alike_are_comparable_without_any_warning() -> None:
    found = compared(stored_result(input_sha256="b" * 64))
    assert codes(found) == set()
    assert found.comparable
    assert all(d.difference == 0.0 for d in found.differences if d.reason is None)


def test_a_difference_is_followup_less_baseline_and_is_divided_by_the_years() -> None:
    found = compared(changed(stored_result(), "LAA-950insp", value=13.0), interval_years=2.5)
    difference = found.difference("LAA-950insp")
    assert difference.difference == pytest.approx(3.0)
    assert difference.per_year == pytest.approx(1.2)
    assert compared(stored_result()).difference("LAA-950insp").per_year is None


@pytest.mark.parametrize(
    ("code", "value", "within"),
    [("LAA-950insp", 11.1, True), ("LAA-950insp", 8.7, False), ("Perc15", -902.3, True), ("Perc15", -903.0, False),
     ("volume", 5340.0, True), ("volume", 4600.0, False)],
)  # fmt: skip
def test_a_difference_is_held_against_what_is_published_and_its_source_is_told(
    code: str, value: float, within: bool
) -> None:
    difference = compared(changed(stored_result(), code, value=value)).difference(code)
    assert difference.within_repeatability is within
    assert all(figure.source for figure in difference.repeatability)


def test_nothing_is_said_of_repeatability_where_nothing_is_known() -> None:
    assert compared(stored_result()).difference("MLD").within_repeatability is None
    assert compared(stored_result()).difference("LAA-950insp", Region.RIGHT).within_repeatability is None


def test_a_score_that_one_result_lacks_is_there_with_the_reason() -> None:
    withheld = changed(stored_result(), "Perc15", value=None, reason="slices of 9.0 mm")
    difference = compared(withheld).difference("Perc15")
    assert (difference.difference, difference.baseline) == (None, -900.0)
    assert difference.reason == "the follow-up has no value: slices of 9.0 mm"
    fewer = stored_result().model_copy(update={"scores": stored_result().scores[1:]})
    assert compared(fewer).difference("LAA-950insp").reason == "the follow-up does not have it"


def test_a_definition_that_changed_gives_no_difference_and_is_told() -> None:
    found = compared(changed(stored_result(), "LAA-950insp", comparator="<"))
    assert found.difference("LAA-950insp").difference is None
    assert found.difference("Perc15").difference == 0.0
    assert codes(found) == {Code.DEFINITION_DIFFERS}


def test_another_kernel_class_makes_results_incomparable_and_spares_the_volume() -> None:
    acquisition = stored_result().acquisition
    found = compared(stored_result(acquisition=acquisition.model_copy(update={"kernel": "B70f"})))
    assert codes(found) == {Code.KERNEL_DIFFERS}
    assert not found.comparable
    for code in ("LAA-950insp", "Perc15", "MLD", ADJUSTED):
        assert Code.KERNEL_DIFFERS in found.difference(code).warnings
    assert found.difference("volume").warnings == ()


@pytest.mark.parametrize(("litres", "told"), [(5.4, False), (4.6, False), (4.4, True), (5.6, True)])
def test_another_inflation_is_told_from_ten_percent_on(litres: float, told: bool) -> None:
    found = compared(stored_result(lungs_ml=litres * 1000))
    assert codes(found) == ({Code.INFLATION_DIFFERS} if told else set())


def test_a_lung_that_only_lost_air_has_the_same_adjusted_density() -> None:
    """A sponge of 100 g/L pressed to four fifths has 125 g/L, and nothing was gained."""
    smaller = changed(stored_result(), "Perc15", value=-875.0)
    smaller = changed(smaller, "volume", value=4000.0)
    found = compared(smaller)
    assert found.difference("Perc15").difference == pytest.approx(25.0)
    assert found.difference(ADJUSTED).difference == pytest.approx(0.0)


def test_adjusting_for_inflation_is_not_warned_of_inflation() -> None:
    found = compared(stored_result(lungs_ml=4000.0))
    assert Code.INFLATION_DIFFERS in found.difference("Perc15").warnings
    assert Code.INFLATION_DIFFERS not in found.difference(ADJUSTED).warnings


def test_an_inspiration_and_an_expiration_are_not_comparable_and_two_of_a_kind_are() -> None:
    def breathed(phase: str) -> StudyResult:
        result = stored_result()
        scores = tuple(score.model_copy(update={"phase": phase}) for score in result.scores)
        return result.model_copy(update={"scores": scores})

    inspired, expired, unknown = (breathed(phase) for phase in ("inspiration", "expiration", "unknown"))
    told = compared(expired, inspired)
    assert not told.comparable
    assert [w.severity for w in told.warnings if w.code is Code.METHOD_DIFFERS] == ["severe"]
    for other in (inspired, unknown):
        told = compared(other, inspired)
        assert told.comparable
        assert Code.METHOD_DIFFERS not in codes(told)


def test_a_parameter_of_one_score_alone_does_not_set_all_apart() -> None:
    one, two = (
        stored_result(parameters={"reference_volume_ml": ml, "phase": "auto"}) for ml in (5000.0, 6000.0)
    )
    assert Code.METHOD_DIFFERS not in codes(compared(two, one))


def test_another_version_and_other_parameters_are_told() -> None:
    assert codes(compared(stored_result(dras_version="9.9"))) == {Code.METHOD_DIFFERS}
    other = compared(stored_result(parameters={"segmenter": "mine:lungs"}))
    assert codes(other) == {Code.METHOD_DIFFERS}
    assert "segmenter" in other.warnings[0].message


def embedded(rows: np.ndarray, valid: list[int]) -> Embedded:
    return Embedded(rows.astype(np.float32), np.array(valid, dtype=bool))


def test_distances_are_those_of_a_loop_and_missing_where_a_patch_is_invalid() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 5, 7)).astype(np.float32)
    found = cosine_distances(embedded(one, [1, 1, 1, 1, 0]), embedded(two, [1, 0, 1, 1, 1]))
    for patch in range(5):
        if patch in (1, 4):
            assert np.isnan(found[patch])
        else:
            a, b = one[patch].astype(float), two[patch].astype(float)
            assert found[patch] == pytest.approx(1 - sum(a * b) / np.sqrt(sum(a * a) * sum(b * b)), abs=1e-6)


def test_embeddings_of_one_encoder_and_atlas_are_compared_and_of_two_are_not() -> None:
    rows = embedded(np.eye(4), [1] * 4)
    alike, distances = compare_results(stored_result(), stored_result(), embedded=(rows, rows))
    assert (alike.embeddings.n_patches, alike.embeddings.median) == (4, 0.0)
    assert distances is not None
    assert Code.EMBEDDINGS_INCOMPARABLE not in {w.code for w in alike.warnings}
    for change in ({"encoder_sha256": "e" * 64}, {"atlas_sha256": "f" * 64}):
        other, none = compare_results(stored_result(), stored_result(weights=change), embedded=(rows, rows))
        assert none is None
        assert other.embeddings.reason is not None
        assert Code.EMBEDDINGS_INCOMPARABLE in {w.code for w in other.warnings}


def test_a_result_without_its_features_says_so() -> None:
    found = compared(stored_result())
    assert found.embeddings.reason == "a result was given without its features.npz"
    assert found.comparable
