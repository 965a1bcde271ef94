"""Concordance against its textbook form, and what it means of pairs that are known."""

import numpy as np
import pytest

from dras_training.downstream.people import People
from dras_training.evaluation.robustness import agreement, concordance


def test_it_is_lins_formula_component_by_component():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3))
    y = np.stack([x[:, 0], 2.0 * x[:, 1] + 1.0, rng.normal(size=40)], axis=1)
    for found, a, b in zip(concordance(x, y), x.T, y.T, strict=True):
        rho, s_a, s_b = np.corrcoef(a, b)[0, 1], np.std(a), np.std(b)
        assert found == pytest.approx(2 * rho * s_a * s_b / (s_a**2 + s_b**2 + (a.mean() - b.mean()) ** 2))
    assert concordance(x, y)[0] == pytest.approx(1.0)


def test_a_component_that_never_changes_says_nothing():
    assert np.isnan(concordance(np.ones((5, 1)), np.ones((5, 1)))).all()


def people(embeddings, valid=None):
    n, locations, _ = embeddings.shape
    marked = np.ones((n, locations), dtype=bool) if valid is None else valid
    return People(tuple(map(str, range(n))), embeddings, marked, np.zeros((locations, 3), np.int64), "e")


def test_what_tells_locations_apart_is_no_agreement_within_them():
    rng = np.random.default_rng(2)
    of_location = 10.0 * rng.normal(size=(1, 12, 4))
    one, other = (people(of_location + rng.normal(size=(9, 12, 4))) for _ in range(2))
    found = agreement(one, other)
    assert found.median > 0.95
    assert found.within is not None
    assert abs(found.within[1]) < 0.35  # nine people and no agreement but by chance


def test_only_patches_that_are_valid_in_both_count_and_one_person_has_nothing_within():
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(1, 6, 2))
    other = embeddings.copy()
    other[0, 2] = 1e6
    valid = np.ones((1, 6), dtype=bool)
    valid[0, 2] = False
    found = agreement(people(embeddings), people(other, valid))
    assert (found.n_pairs, found.median, found.within) == (5, pytest.approx(1.0), None)
