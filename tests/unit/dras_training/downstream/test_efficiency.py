"""Label efficiency on patches whose brightness is the outcome: who is learnt from, who judged on, what is told."""

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.calibration import textures
from dras_model.encoder.heads import pool
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.network import EncoderNetwork, normalise
from dras_model.encoder.runtime import Encoder
from dras_model.encoder.weights import initialise
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream import tuning
from dras_training.downstream.curve_files import write_curve
from dras_training.downstream.efficiency import TRIALS, Curve, Journal, Split, measure_of, over_draws
from dras_training.downstream.finetune import Course, Patients, answers_of, people_of
from dras_training.downstream.fitting import fit
from dras_training.downstream.keeping import keep_tuned
from dras_training.downstream.outcomes import Outcome, Table
from dras_training.store import CaseRecord, PatchStore, pack_bits

N = 16
COURSE = Course(locations=2, steps=2, people=4, places=2)


@pytest.fixture(scope="module")
def classes():
    return np.arange(N) % 2.0


@pytest.fixture(scope="module")
def bright(few_corners, classes, tmp_path_factory):
    """A store whose people differ in brightness by 60 HU, and one who lacks a patch."""
    store = PatchStore.create(tmp_path_factory.mktemp("bright") / "store", few_corners, slots=N)
    n_locations = len(few_corners.corners)
    for row in range(N):
        drawn = textures(n_locations, seed=row).astype(np.float64)
        patches = (drawn - drawn.mean(axis=(1, 2, 3), keepdims=True)) / 10.0 - 800.0 + 60.0 * classes[row]
        store.write(row, patches.clip(-1024, 240).astype(np.int16))
        valid = np.arange(n_locations) >= (row == 5)
        record = {"subject": f"s{row}", "slot": row, "input_sha256": f"{row:064}", "valid": pack_bits(valid)}
        store.record(CaseRecord(status="stored", **record))
    return store


@pytest.fixture(scope="module")
def weights(bright, few_corners):
    """Weights that were never trained, whose statistics are those of a few of the people."""
    drawn = initialise(EncoderConfig(rep_dim=8, moco_dim=8, num_experts=1), seed=5)
    network = tuning.from_scratch(drawn, seed=5)
    tuning.knows_range_of(network, bright, few_corners.locations, among=np.arange(4), seed=5)
    return network.to_weights()


@pytest.fixture(scope="module")
def outcome(bright, few_corners, classes):
    return Outcome("bright", people_of(bright, few_corners), "classification", classes, ("no", "yes"))


@pytest.fixture(scope="module")
def patients(bright, few_corners, outcome):
    return Patients(bright, few_corners, outcome, COURSE)


@pytest.fixture(scope="module")
def curve(patients, weights, outcome):
    return Curve(patients, weights, Split.drawn(outcome, seed=0), percents=(1.0, 100.0), draws=1)


@pytest.fixture(scope="module")
def journal(curve, tmp_path_factory):
    kept = Journal(tmp_path_factory.mktemp("curve"), curve.question())
    curve.run(kept)
    return kept


def test_labels_are_drawn_without_the_people_who_are_judged_on_and_fewer_are_some_of_the_more(outcome):
    split = Split.drawn(outcome, seed=3)
    assert sorted([*split.judged, *split.learners]) == list(range(N))
    assert split.sizes(outcome, (1.0, 2.0, 50.0, 100.0)) == [2, 6, 12]
    orders = [split.order(outcome, seed=0, draw=draw) for draw in range(5)]
    for order in orders:
        assert sorted(order) == sorted(split.learners)
        assert set(outcome.values[order[:2]]) == {0.0, 1.0}
    assert len({tuple(order) for order in orders}) == 5


def test_a_course_of_rate_0_is_the_probe_of_the_frozen_encoder(
    patients, weights, outcome, bright, few_corners
):
    still = Patients(bright, few_corners, outcome, replace(COURSE, steps=1, rate=0.0))
    split = Split.drawn(outcome, seed=0)
    curve = Curve(still, weights, split, percents=(100.0,), draws=1)
    tuned = curve.tuned("pretrained", len(split.learners), 0)
    # The oracle: embeddings of the plain network one by one, their mean over the valid ones, and the probe's fit.
    network, rows = EncoderNetwork.from_weights(weights), np.arange(N)
    places = still.places
    embedded = np.empty((N, len(places), 8), dtype=np.float32)
    for row in rows:
        patches = torch.from_numpy(bright.read(places.tolist(), [row])[0])
        with torch.no_grad():
            embedded[row] = network.embed(normalise(patches), torch.from_numpy(few_corners.locations[places]))
    vectors = pool(embedded, bright.valid[:, places], np.zeros(len(places), dtype=np.int64))[:, 0]
    order = split.order(outcome, seed=COURSE.seed, draw=0)
    expected = fit(vectors[order], outcome.values[order], "probability", seed=COURSE.seed)
    np.testing.assert_allclose(still.vectors(tuned.network, rows), vectors, atol=1e-4)
    found = still.answers(tuned, split.judged)[:, 0]
    np.testing.assert_allclose(found, expected(vectors[split.judged]), atol=1e-3)


def test_training_on_moves_the_encoder_and_lowers_its_misfit(bright, few_corners, outcome, weights):
    some = np.arange(8)  # all of them in every step
    course = replace(COURSE, people=len(some), steps=5)
    patients = Patients(bright, few_corners, outcome, course)

    def misfit(heads, vectors):
        signs = 2.0 * patients.targets[some] - 1.0
        return float(np.log1p(np.exp(-signs * answers_of(heads, vectors))).mean())

    network = patients.begin("pretrained", weights, some, seed=0)
    embedded = patients.embeddings(network, some)
    vectors = patients.pooled(embedded, some)
    heads, levels = patients.probe(vectors, some), patients.levels(embedded, some)
    tuned = patients.tune(network, heads, some, levels=levels, rate=1e-3, seed=0)
    assert misfit(tuned.heads, patients.vectors(tuned.network, some)) < 0.9 * misfit(heads, vectors)
    moved = tuned.network.to_weights().parameters["conv4.weight"]
    assert not np.array_equal(moved, weights.parameters["conv4.weight"])


def test_what_a_step_sees_of_people_does_not_depend_on_which_locations_it_sees(patients, weights):
    everybody, network = np.arange(N), patients.begin("pretrained", weights, np.arange(N), seed=0)
    embedded = patients.embeddings(network, everybody)
    whole = np.delete(everybody, 5)  # who lacks a patch
    levels = patients.levels(embedded[whole], whole)
    for column in range(len(patients.places)):
        found = patients._means(network, whole, np.array([column]), levels).detach().numpy()
        # Of those who have all patches, one place tells the mean of all, but for what is their own there.
        apart = embedded[whole, column] - embedded[whole, column].mean(axis=0)
        middle = embedded[whole].mean(axis=(0, 1))
        np.testing.assert_allclose(found, middle + apart, atol=1e-3)


def test_every_arm_has_its_points_and_the_lead_is_over_the_same_people(curve, journal, outcome):
    points = list(curve.points(journal))
    assert [(p.n_labels, p.arm) for p in points] == [
        (n, arm) for n in (2, 12) for arm in ("pretrained", "scratch", "frozen")
    ]
    at = {(p.n_labels, p.arm): p for p in points}
    observed = outcome.values[curve.split.judged]
    for (n, arm), point in at.items():
        answers = journal.find(arm, n, 0).answers[:, 0]
        assert point.performance.value == pytest.approx(roc_auc_score(observed, answers))
        assert point.percent == pytest.approx(100.0 * n / 12)
        if arm != "pretrained":
            assert point.lead.value == pytest.approx(
                at[n, "pretrained"].performance.value - point.performance.value
            )
    assert at[12, "frozen"].performance.value > 0.9


def test_a_curve_is_told_as_a_table_and_a_picture(curve, journal, tmp_path):
    points = list(curve.points(journal))
    write_curve(points, tmp_path, outcome="bright", n_judged=4)
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], int(row["n_labels"])) for row in rows] == [(p.arm, p.n_labels) for p in points]
    assert [float(row["value"]) for row in rows] == [p.performance.value for p in points]
    assert rows[0]["lead_value"] == ""
    assert (
        json.loads((tmp_path / "curve.json").read_text())["points"][1]["lead"]["value"]
        == points[1].lead.value
    )
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_that_was_stopped_goes_on_to_the_same_trials(curve, journal, tmp_path, patients, weights):
    lines = (journal._path).read_text().splitlines(keepends=True)
    begun = Journal(tmp_path, curve.question())
    (tmp_path / TRIALS).write_text("".join(lines[:5]) + lines[5][:20])  # the last arm was being written
    again = Curve(patients, weights, curve.split, percents=(1.0, 100.0), draws=1)
    resumed = Journal(tmp_path, again.question())
    assert len(resumed.trials) == 5
    again.run(resumed)
    assert (tmp_path / TRIALS).read_text().splitlines(keepends=True) == lines
    assert begun.trials == []
    with pytest.raises(SetupRefused) as refused:
        Journal(tmp_path, {**curve.question(), "outcome": "another"})
    assert refused.value.code is Code.RESUME_IMPOSSIBLE


def test_what_is_kept_serves_the_answers_that_were_judged(curve, journal, few_corners, bright, tmp_path):
    # `dras extract` encodes by the bundle's graph and asks its heads: so does this, for those who are judged on.
    bundle = SimpleNamespace(
        manifest=SimpleNamespace(name="before", training=Untrained(seed=5), licence="MIT")
    )
    kept = keep_tuned(curve, bundle, tmp_path / "after", cohort="12 textures", unit="", name="after")
    (head,) = kept.heads
    encoder, judged = Encoder.open(kept), curve.split.judged
    served = []
    for row in judged:
        embeddings = encoder.encode(bright.read(range(6), [row])[0], few_corners.locations)
        served.append(head.estimate(embeddings, bright.valid[row]))
    log_odds = journal.find("pretrained", 12, 0).answers[:, 0]
    np.testing.assert_allclose(served, 1.0 / (1.0 + np.exp(-log_odds)), atol=1e-3)
    assert (head.name, head.kind, head.cohort.n, head.cohort.n_events) == ("bright-yes", "probability", 12, 6)
    assert set(head.groups) == {-1, 0}
    told = kept.manifest.training
    assert told.data == "bright of 12 textures, from before (untrained)"
    assert (told.subjects, told.steps, told.store_sha256) == (12, 2, bright.sha256)


def test_the_table_may_say_who_is_judged_on_but_leaves_both_parts_every_class(outcome):
    names = list(outcome.people.names)
    held = Table("t.csv", {"subject": names, "held_out": ["1" if i >= 12 else "0" for i in range(N)]})
    split = Split.told(outcome, held, "held_out")
    assert split.judged.tolist() == list(range(12, N))
    for cells, said in (
        (["0"] * N, "without a class"),
        (["2"] * N, "other things"),
        ([None] * N, "other things"),
    ):
        with pytest.raises(SetupRefused, match=said):
            Split.told(outcome, Table("t.csv", {"subject": names, "held_out": cells}), "held_out")


def test_an_interval_over_draws_holds_the_spread_of_the_draws_too(outcome):
    measure, _ = measure_of(Outcome("y", outcome.people, "regression", outcome.values))
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 1))
    good, bad = truth + 0.3 * rng.normal(size=truth.shape), truth + 0.9 * rng.normal(size=truth.shape)

    def of(*draws):
        return over_draws(measure, truth, np.stack(draws)[np.newaxis])[0][0]

    both, one = of(good, bad), of(good, good)
    assert both.value == pytest.approx((of(good).value + of(bad).value) / 2)
    assert both.high - both.low > 2 * (one.high - one.low)


def test_a_lead_over_the_same_people_is_known_better_than_two_figures_apart(outcome):
    measure, _ = measure_of(Outcome("y", outcome.people, "regression", outcome.values))
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(100, 1))
    wrong = rng.normal(size=truth.shape)
    arms = np.stack([truth + 0.5 * wrong, truth + 0.6 * wrong])[:, np.newaxis]
    reached, leads = over_draws(measure, truth, arms)
    assert leads[0].low == leads[0].high == 0.0
    assert leads[1].value == pytest.approx(reached[0].value - reached[1].value)
    assert leads[1].low > 0.0
    assert leads[1].high - leads[1].low < 0.5 * (reached[1].high - reached[1].low)
