import math

import pytest

from dras_training.annealing import learning_rate, n_steps
from dras_training.recipe import Optimisation, load_recipe


def recipe(**values):
    return Optimisation(**{"epochs": 4, "batch": 2, "learning_rate": 0.1, **values})


def test_a_training_ends_after_its_epochs_or_its_most_steps():
    assert n_steps(recipe(), 10) == 40
    assert n_steps(recipe(most_steps=25), 10) == 25
    assert n_steps(recipe(most_steps=250), 10) == 40


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (10, 0.1 * (1 + math.sqrt(0.5)) / 2), (20, 0.05)])
def test_the_rate_follows_half_a_cosine(step, expected):
    assert learning_rate(recipe(), step, steps_per_epoch=10) == pytest.approx(expected)


def test_it_ends_near_zero_and_never_rises():
    rates = [learning_rate(recipe(), step, steps_per_epoch=10) for step in range(40)]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.001


def test_as_released_it_changes_at_the_beginning_of_an_epoch():
    published = load_recipe("drasclr_copdgene").optimisation
    rates = [learning_rate(published, step, steps_per_epoch=7) for step in range(20 * 7)]
    expected = [0.01 * 0.5 * (1.0 + math.cos(math.pi * epoch / 20)) for epoch in range(20)]
    assert rates == pytest.approx([rate for rate in expected for _ in range(7)])


def test_it_warms_up_in_equal_steps():
    rates = [learning_rate(recipe(warm_up_steps=4), step, steps_per_epoch=1000) for step in range(5)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1], rel=1e-4)
