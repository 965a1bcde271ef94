"""Survival of people whose hazard is planted; Harrell's C is compared with pairs that are counted one by one."""

import numpy as np
import pytest

from dras_model.results.errors import SetupRefused
from dras_training.downstream.outcomes import Table
from dras_training.downstream.probe import fit_all
from dras_training.downstream.survival import _areas, judge_survival, read_followed, survival_head


@pytest.fixture(scope="module")
def followed(people, severity):
    rng = np.random.default_rng(5)
    dies = rng.exponential(1.0 / (0.2 * np.exp(1.5 * severity)))
    leaves = rng.uniform(2.0, 12.0, len(people))
    columns = {
        "subject": list(people.names),
        "years": [str(v) for v in np.minimum(dies, leaves)],
        "died": [str(int(v)) for v in dies <= leaves],
    }
    return read_followed(Table("t.csv", columns), people, time="years", event="died")


@pytest.fixture(scope="module")
def judged(followed):
    return judge_survival(followed, "mean", name="death")


def counted(event, time, hazard):
    ranked = comparable = 0.0
    for i in np.flatnonzero(event):
        for j in np.flatnonzero(time > time[i]):
            comparable += 1
            ranked += 1.0 if hazard[i] > hazard[j] else 0.5 if hazard[i] == hazard[j] else 0.0
    return ranked / comparable


def test_a_planted_hazard_is_ranked_and_its_concordance_is_that_of_the_pairs(followed, judged, severity):
    found = judged.judged
    target = followed.target
    assert found.performance.value == pytest.approx(
        counted(target["event"], target["time"], found.predicted), abs=1e-9
    )
    best = counted(target["event"], target["time"], severity)
    assert found.performance.value > best - 0.05
    assert found.performance.low > 0.6
    assert len(judged.auc) == 3
    assert min(judged.auc.values()) > 0.65
    assert 0.4 < found.calibration.slope < 2.0


def test_the_head_is_higher_for_those_at_risk(followed, judged, people, severity):
    head = survival_head(followed, judged, cohort="invented people")
    given = [head.estimate(people.embeddings[i], people.valid[i]) for i in range(len(people))]
    assert np.corrcoef(given, severity)[0, 1] > 0.9
    assert head.kind == "hazard"
    assert head.unit == "log hazard ratio"
    assert head.calibration.error is None


@pytest.mark.parametrize(
    ("years", "died", "said"),
    [
        (["1"] * 90, ["0"] * 90, "0 events"),
        (["1"] * 90, ["2"] * 90, "other numbers than 0 and 1"),
        (["0"] * 90, ["1"] * 90, "not positive"),
        (["soon"] * 90, ["1"] * 90, "other things than numbers"),
        (["5"] * 80 + ["1"] * 10, ["1"] * 90, "nothing to rank"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(people, years, died, said):
    table = Table("t.csv", {"subject": list(people.names), "years": years, "died": died})
    with pytest.raises(SetupRefused, match=said):
        read_followed(table, people, time="years", event="died")


def test_learnt_weights_are_the_same_whether_years_or_days_are_counted(followed):
    days = followed.target.copy()
    days["time"] *= 365.25
    given = []
    for target in (followed.target, days):
        pooled, found = fit_all(followed.people, target, "hazard", "learned", seed=0)
        given.append(found(pooled(followed.people)))
    np.testing.assert_allclose(given[0], given[1], rtol=1e-9)


def test_a_death_at_the_last_time_beside_somebody_lost_then_is_as_one_that_is_later(followed, severity):
    ends = followed.target.copy()
    censored = ends["time"][~ends["event"]].max()
    ends["time"] = np.minimum(ends["time"], censored)
    someone = int(np.argmax(ends["time"][ends["event"]]))
    dead = np.flatnonzero(ends["event"])[someone]
    ends["time"][dead] = censored
    later = ends.copy()
    later["time"][dead] = censored + 1.0
    tied, apart = _areas(ends, severity), _areas(later, severity)
    assert len(tied[0]) == 3
    assert tied == apart
