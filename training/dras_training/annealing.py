"""The learning rate of a step: a linear warm-up, then half a cosine to zero."""

import math

from dras_training.recipe import Optimisation


def n_steps(recipe: Optimisation, steps_per_epoch: int) -> int:
    """Return how many steps a training has."""
    whole = recipe.epochs * steps_per_epoch
    return whole if recipe.most_steps is None else min(whole, recipe.most_steps)


def learning_rate(recipe: Optimisation, step: int, *, steps_per_epoch: int) -> float:
    """Return the learning rate of `step`, counted from 0: lr ½ (1 + cos π t), t = step / steps of the training.

    With `anneal = "epoch"`, as released, t moves on at the beginning of an epoch only.
    """
    total = n_steps(recipe, steps_per_epoch)
    reached = step if recipe.anneal == "step" else step // steps_per_epoch * steps_per_epoch
    cosine = 0.5 * (1.0 + math.cos(math.pi * reached / total))
    warm = min(1.0, (step + 1) / recipe.warm_up_steps) if recipe.warm_up_steps else 1.0
    return recipe.learning_rate * cosine * warm
