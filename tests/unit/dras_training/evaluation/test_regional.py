"""Regions of people whose disease is known, region by region."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dras_training.downstream.people import People
from dras_training.evaluation.material import REGIONS
from dras_training.evaluation.regional import mean_auc, regions_out_of_fold, vectors_of

N = 40


@pytest.fixture(scope="module")
def corners():
    x, z = np.meshgrid([10, 200], [0, 5, 100, 105, 200, 205], indexing="ij")
    return np.stack([x.ravel(), np.zeros(12, dtype=np.int64), z.ravel()], axis=1)


@pytest.fixture(scope="module")
def sick(corners):
    """Disease of each region, which component 1 shows; component 0 is the location's own level."""
    rng = np.random.default_rng(5)
    truth = (rng.random((N, 6)) < 0.4).astype(float)
    region = np.repeat(np.arange(6), 2)
    embeddings = rng.normal(size=(N, 12, 4)).astype(np.float32)
    embeddings[:, :, 0] += 50.0 * np.arange(12)
    embeddings[:, :, 1] += 2.0 * truth[:, region] + 20.0 * region
    return People(tuple(map(str, range(N))), embeddings, np.ones((N, 12), bool), corners, "e"), truth


def test_vectors_are_the_regions_in_the_order_of_their_names(sick, corners):
    people, _ = sick
    basal_left = people.embeddings[:, (corners[:, 0] == 200) & (corners[:, 2] < 50)].mean(axis=1)
    np.testing.assert_allclose(
        vectors_of(people)[:, REGIONS.index("left_basal")], basal_left, rtol=1e-5, atol=1e-5
    )


def test_disease_is_found_in_regions_of_people_not_fitted_to_and_chance_is_not(sick):
    people, truth = sick
    strata = (truth.sum(axis=1) > 2).astype(float)
    found = regions_out_of_fold(people, truth, strata, "mean", seed=0)
    assert mean_auc(truth, found) > 0.85
    shuffled = truth[np.random.default_rng(1).permutation(N)]
    assert mean_auc(shuffled, regions_out_of_fold(people, shuffled, strata, "mean", seed=0)) < 0.65


def test_disease_that_makes_a_region_uneven_is_found_by_moments_whatever_the_levels(sick):
    people, _ = sick
    rng = np.random.default_rng(8)
    truth = (rng.random((N, 6)) < 0.5).astype(float)
    up = np.repeat(rng.choice([-3.0, 3.0], (N, 6)), 2, axis=1) * np.tile([1.0, -1.0], 6)
    embeddings = people.embeddings.copy()
    # Of two patches of a region one goes up and the other down, whichever it is.
    embeddings[:, :, 2] += (up * np.repeat(truth, 2, axis=1)).astype(np.float32)
    uneven, strata = replace(people, embeddings=embeddings), (truth.sum(axis=1) > 3).astype(float)
    area = {
        pooling: mean_auc(truth, regions_out_of_fold(uneven, truth, strata, pooling, seed=0))
        for pooling in ("mean", "moments")
    }
    assert area["moments"] > 0.8
    assert area["mean"] < 0.65


def test_the_mean_area_is_that_of_the_columns_that_can_be_judged():
    rng = np.random.default_rng(2)
    truth, odds = (rng.random((30, 3)) < 0.5).astype(float), rng.normal(size=(30, 3))
    truth[:, 1] = 1.0  # one class only
    truth[:10, 2] = np.nan
    areas = [roc_auc_score(truth[:, 0], odds[:, 0]), roc_auc_score(truth[10:, 2], odds[10:, 2])]
    assert mean_auc(truth, odds) == pytest.approx(np.mean(areas))
    with pytest.raises(ValueError, match="class"):
        mean_auc(truth[:, 1:2], odds[:, 1:2])
