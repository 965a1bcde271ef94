"""Probes on planted outcomes: what is there is found, what is not there is not, and the head gives the same."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sksurv.util import Surv

from dras_model.encoder.creation import with_heads
from dras_model.encoder.heads import parse_head
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream import representation
from dras_training.downstream.keeping import require_names
from dras_training.downstream.outcomes import Outcome, Table
from dras_training.downstream.probe import heads, judge, out_of_fold
from dras_training.downstream.representation import (
    groups_of,
    learn_attention,
    learn_direction,
    learn_moments,
)
from dras_training.downstream.survival import concordance
from unit.dras_training.downstream.conftest import TOLD_AT


def number(people, values):
    return Outcome("fev1", people, "regression", values)


def test_a_number_that_the_mean_tells_is_found_and_calibrated(people, severity):
    (found,) = judge(number(people, 60.0 - 20.0 * severity), "mean")
    assert found.measure == "R²"
    assert found.performance.low > 0.95
    assert found.calibration.slope == pytest.approx(1.0, abs=0.05)


def test_a_number_that_is_not_there_is_not_found(people):
    noise = np.random.default_rng(3).normal(size=len(people))
    (found,) = judge(number(people, noise), "regions")
    assert found.performance.low < 0.0
    assert found.performance.value < 0.15


def test_what_one_region_tells_is_found_there_and_by_learnt_weights_better_than_by_the_mean(people, sick):
    outcome = Outcome("sick", people, "classification", sick, ("no", "yes"))
    auc = {each: judge(outcome, each)[0].performance.value for each in ("mean", "regions", "learned")}
    assert auc["regions"] > 0.95
    assert auc["learned"] > 0.95
    assert auc["mean"] < auc["learned"]


def test_an_outcome_that_only_unevenness_tells_is_found_by_moments_and_not_by_the_mean(people):
    rng = np.random.default_rng(11)
    uneven = (rng.random(len(people)) < 0.5).astype(np.float64)
    embeddings = people.embeddings.copy()
    embeddings[:, :, 2] *= 1.0 + 2.0 * uneven[:, np.newaxis].astype(np.float32)
    embeddings += 40.0 * rng.normal(size=embeddings.shape[1:]).astype(np.float32)  # levels of locations
    outcome = Outcome(
        "uneven", replace(people, embeddings=embeddings), "classification", uneven, ("no", "yes")
    )
    auc = {each: judge(outcome, each)[0].performance.value for each in ("mean", "moments")}
    assert auc["moments"] > 0.9
    assert auc["mean"] < 0.75


def test_a_location_that_few_have_seen_gets_the_level_of_all_and_nothing_is_divided_by_nothing(people):
    valid, embeddings = people.valid.copy(), people.embeddings.copy()
    valid[:-2, 7] = False
    embeddings[:, :, 4] = 3.0
    found = learn_moments(replace(people, valid=valid, embeddings=embeddings))
    others = valid.copy()
    others[:, 7] = False
    np.testing.assert_allclose(
        np.array(found.level)[7], embeddings[others].mean(axis=0), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(np.array(found.level)[3], embeddings[:, 3].mean(axis=0), rtol=1e-4, atol=1e-4)
    expected = embeddings[:, 3].std(axis=0, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(np.array(found.spread)[3, :4], expected[:4], rtol=1e-4)
    assert (np.array(found.spread) > 0).all()


def test_learnt_weights_look_where_the_outcome_is_told(people, sick):
    outcome = Outcome("sick", people, "classification", sick, ("no", "yes"))
    (head,) = heads(outcome, judge(outcome, "learned"), cohort="invented", unit="")
    assert int(np.argmax(head.attention.bias)) == TOLD_AT


def test_a_head_that_patches_taught_finds_the_place_that_one_of_the_mean_does_not(people):
    rng = np.random.default_rng(13)
    burden = rng.random(len(people))
    lost = rng.random(people.valid.shape) < burden[:, np.newaxis]
    embeddings = rng.normal(size=people.embeddings.shape).astype(np.float32)
    embeddings[:, :, 0] += 2.0 * lost
    # Of a person it says everything and of a patch nothing: what it adds to patches is nothing in the mean.
    apart = np.where(people.valid, rng.normal(size=people.valid.shape), np.nan)
    embeddings[:, :, 1] = burden[:, np.newaxis] + 3.0 * (apart - np.nanmean(apart, axis=1, keepdims=True))
    embeddings += 3.0 * rng.normal(size=embeddings.shape[1:]).astype(np.float32)  # levels of locations
    outcome = number(replace(people, embeddings=embeddings), burden)
    level = np.nanmean(embeddings, axis=0)
    area = {}
    for pooling in ("mean", "patches"):
        (found,) = judge(outcome, pooling)
        assert found.performance.value > 0.5
        (head,) = heads(outcome, [found], cohort="invented people", unit="%")
        told = head.of_each((embeddings - level).reshape(-1, embeddings.shape[2])).reshape(lost.shape)
        rows = zip(lost, told, people.valid, strict=True)
        within = [
            roc_auc_score(where[seen], said[seen]) for where, said, seen in rows if 0 < where[seen].mean() < 1
        ]
        area[pooling] = np.mean(within)
    assert area["patches"] > area["mean"] + 0.1


def test_patches_teach_a_class_as_the_mean_does(people, severity):
    high = (severity > np.median(severity)).astype(np.float64)
    (found,) = judge(Outcome("high", people, "classification", high, ("no", "yes")), "patches")
    assert found.performance.low > 0.95


def test_patches_teach_a_hazard_as_the_mean_does(people, severity):
    times = np.exp(-2.0 * severity + 0.1 * np.random.default_rng(3).normal(size=len(people)))
    fate = Surv.from_arrays(event=np.ones(len(people), dtype=np.bool_), time=times)
    pairs = np.stack([fate["event"], fate["time"]], axis=1)
    assert concordance(pairs, out_of_fold(people, fate, "hazard", "patches", seed=0)) > 0.9


def test_of_more_patches_than_are_wanted_a_direction_is_learnt_of_some(people, severity, monkeypatch):
    everything = learn_direction(people, severity, seed=0)
    monkeypatch.setattr(representation, "MOST_PATCHES", 400)
    some = learn_direction(people, severity, seed=0)
    assert np.abs(some - everything).max() > 0
    assert np.argmax(np.abs(some)) == np.argmax(np.abs(everything)) == 0


def test_a_head_of_moments_that_was_written_and_read_gives_each_person_its_own_formula(people, severity):
    outcome = number(people, severity)
    (head,) = heads(outcome, judge(outcome, "moments"), cohort="invented people", unit="%")
    served = parse_head(head.to_bytes(), sizes=people.embeddings.shape[1:])
    assert served == head
    assert served.schema_version == "1.1"
    level, spread = np.array(head.moments.level), np.array(head.moments.spread)
    for embeddings, valid in zip(people.embeddings, people.valid, strict=True):
        apart = ((embeddings - level) / spread)[valid]
        # The oracle: NumPy's own mean and standard deviation of the valid patches.
        columns = np.concatenate([apart.mean(axis=0), apart.std(axis=0, ddof=1)])
        value = head.intercept + float(np.dot(head.weights[0], columns - head.centre[0]))
        assert served.estimate(embeddings, valid) == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_of_a_single_patch_a_head_of_moments_takes_the_cohorts_unevenness(people, severity):
    (head,) = heads(number(people, severity), judge(number(people, severity), "moments"), cohort="x", unit="")
    width = people.embeddings.shape[2]
    alone = np.zeros(people.valid.shape[1], dtype=np.bool_)
    alone[TOLD_AT] = True
    apart = (people.embeddings[0, TOLD_AT] - head.moments.level[TOLD_AT]) / head.moments.spread[TOLD_AT]
    value = head.intercept + float(np.dot(head.weights[0][:width], apart - head.centre[0][:width]))
    assert head.estimate(people.embeddings[0], alone) == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_a_head_without_moments_is_written_as_versions_that_know_none_read_it(people, severity):
    (head,) = heads(number(people, severity), judge(number(people, severity), "mean"), cohort="x", unit="")
    told = json.loads(head.to_bytes())
    assert told["schema_version"] == "1.0"
    assert "moments" not in told


@pytest.mark.parametrize("pooling", ["mean", "regions", "learned", "patches"])
def test_a_head_that_was_written_and_read_gives_each_person_what_the_model_fitted(people, severity, pooling):
    outcome = number(people, severity)
    (head,) = heads(outcome, judge(outcome, pooling), cohort="invented people", unit="%")
    served = parse_head(head.model_dump_json().encode())
    assert served == head
    rows = [(people.embeddings[i], people.valid[i]) for i in range(len(people))]
    given = np.array([served.estimate(*row) for row in rows])
    # The oracle: weights times means, written out; NaN where a group of somebody is empty counts as the mean.
    for (embeddings, valid), value in zip(rows, given, strict=True):
        logits = np.zeros(len(valid))
        if head.attention is not None:
            logits = np.array(head.attention.bias) + np.nan_to_num(embeddings) @ head.attention.direction
        total = head.intercept
        for group, (weights, centre) in enumerate(zip(head.weights, head.centre, strict=True)):
            members = [i for i in range(len(valid)) if valid[i] and head.groups[i] == group]
            if members:
                mean = np.average(embeddings[members], axis=0, weights=np.exp(logits[members]))
                total += float(np.dot(weights, mean - centre))
        assert value == pytest.approx(total, rel=1e-6, abs=1e-6)
    assert np.corrcoef(given, severity)[0, 1] > 0.98


def test_a_class_of_many_is_told_against_the_rest(people, severity):
    third = np.searchsorted(np.quantile(severity, [1 / 3, 2 / 3]), severity).astype(np.float64)
    outcome = Outcome("gold", people, "classification", third, ("0", "1", "2"))
    found = judge(outcome, "mean")
    assert [each.target for each in found] == ["gold-0", "gold-1", "gold-2"]
    assert found[0].performance.value > 0.95
    assert found[2].performance.value > 0.95
    assert [each.n_events for each in found] == [30, 30, 30]


def test_regions_are_both_sides_in_thirds_of_height(people, corners):
    groups = groups_of(people, "regions")
    assert sorted(np.bincount(groups)) == [2] * 6
    assert all(len({tuple(corners[groups == g][:, 0])}) == 1 for g in range(6))
    assert groups[:6].tolist() == [0, 0, 1, 1, 2, 2]


def test_somebody_without_a_valid_patch_gets_no_estimate(people, severity):
    (head,) = heads(number(people, severity), judge(number(people, severity), "mean"), cohort="x", unit="")
    assert head.estimate(people.embeddings[0], np.zeros_like(people.valid[0])) is None


def test_somebody_without_a_valid_patch_does_not_move_the_learnt_weights(people, sick):
    valid = people.valid.copy()
    valid[4] = False
    rest = [i for i in range(len(people)) if i != 4]
    found = learn_attention(replace(people, valid=valid), sick[:, np.newaxis], seed=0)
    assert np.isfinite(found.bias).all()
    assert found == learn_attention(people.chosen(rest), sick[rest, np.newaxis], seed=0)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("%FEV1", "FEV1"),
        ("(FEV1)", "FEV1"),
        ("_x", "x"),
        ("-" * 70 + "y", "y"),
        ("é", "head"),
        ("a b", "a-b"),
    ],
)
def test_a_column_of_any_name_gives_a_head(people, severity, column, name):
    outcome = replace(number(people, severity), name=column)
    (head,) = heads(outcome, judge(outcome, "mean"), cohort="x", unit="")
    assert (head.name, head.outcome) == (name, column)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [(["gold-a b", "gold-a_b"], "both be the head gold-a-b"), (["x" * 201], "201"), ([""], "1 to 200")],
)
def test_outcomes_whose_heads_cannot_be_named_apart_are_refused(outcomes, said):
    with pytest.raises(SetupRefused, match=said) as refused:
        require_names(Table("t.csv", {}), outcomes)
    assert refused.value.code is Code.TABLE_INVALID


def test_no_head_takes_the_place_of_one_that_is_written_with_it(people, severity, tmp_path):
    (head,) = heads(number(people, severity), judge(number(people, severity), "mean"), cohort="x", unit="")
    with pytest.raises(ValueError, match="one name"):
        with_heads(SimpleNamespace(heads=()), tmp_path / "b", [head, head], name="b")
    assert not (tmp_path / "b").exists()
