"""One vector a patient of many patches: a mean, means of regions, a mean whose weights are learnt, or moments.

Moments are the mean and the deviation, over the patches, of what each has beyond its location's level: an encoder
that is conditioned on location differs between locations more than between people. None of them looks at more than
a patch at a time, so that all are served as a `Head`. Regions are the atlas': both sides, each in thirds of its
corners' height. `patches` is the mean again, weighed along one direction that patches tell.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dras_model.encoder.heads import EVERYWHERE, Attention, Moments, pool
from dras_training.downstream.fitting import fit
from dras_training.downstream.judging import Numbers
from dras_training.downstream.people import People
from dras_training.downstream.poolings import Pooling

THIRDS = 3
# Of the learnt weights: few people, so that they stay near the plain mean.
STEPS, RATE, DECAY = 200, 0.05, 0.02
LEAST_SEEN = 5  # people with a valid patch at a location, to know its level
# Of the spread of all locations: nobody's patch stands out because those of others are alike.
LEAST_SPREAD = 0.25
# That a direction is learnt of, which has no more weights than an embedding has components.
MOST_PATCHES = 50_000
DIGITS = 5  # of a level and a spread, of which a head keeps two for every location and component


def groups_of(people: People, pooling: Pooling) -> NDArray[np.int64]:
    """Return the group of each location (locations,)."""
    if pooling != "regions":
        return np.full(len(people.corners), EVERYWHERE, dtype=np.int64)
    # Sides may lack a third in an atlas of few corners: the groups that are there are numbered on.
    _, groups = np.unique(regions_of(people.corners), return_inverse=True)
    return np.asarray(groups, dtype=np.int64)


def regions_of(corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the region (n,) of each of `corners` (n, 3): the right's thirds from below, then the left's.

    The right lies where x is low, as x of an atlas grows to the left.
    """
    x, height = corners[:, 0], corners[:, 2]
    side = (x > np.median(x)).astype(np.int64)
    bounds = np.quantile(height, np.arange(1, THIRDS) / THIRDS)
    return side * THIRDS + np.searchsorted(bounds, height, side="left")


def vectors(
    people: People,
    groups: NDArray[np.int64],
    attention: Attention | None = None,
    moments: Moments | None = None,
) -> NDArray[np.float64]:
    """Return the pooled embeddings (people, columns of all groups); NaN where a group of a person is empty."""
    pooled = pool(people.embeddings, people.valid, groups, attention=attention, moments=moments)
    return pooled.reshape(len(people), -1)


def learn_moments(people: People) -> Moments:
    """Return what `people` have at each location; of outcomes it knows nothing.

    A location that fewer than LEAST_SEEN have seen gets the level and spread of all.
    """
    known = np.where(people.valid[:, :, np.newaxis], people.embeddings, 0.0).astype(np.float64)
    counted = people.valid.sum(axis=0)[:, np.newaxis]
    level = known.sum(axis=0) / np.maximum(counted, 1)
    apart = np.where(people.valid[:, :, np.newaxis], known - level, 0.0)
    variance = (apart**2).sum(axis=0) / np.maximum(counted - 1, 1)
    seen = counted >= LEAST_SEEN
    share = np.where(seen, counted, 0) / max(int(counted[seen].sum()), 1)
    of_all = np.sqrt((share * variance).sum(axis=0))
    level = np.where(seen, level, (share * level).sum(axis=0))
    spread = np.maximum(np.where(seen, np.sqrt(variance), of_all), LEAST_SPREAD * of_all)
    # What is the same for everybody says nothing, in whatever parts.
    return Moments(level=_rounded(level), spread=_rounded(np.where(spread > 0, spread, 1.0)))


def _rounded(table: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.{DIGITS}g}") for value in row) for row in table.tolist())


def learn_direction(people: People, target: Numbers, *, seed: int) -> Numbers:
    """Return the direction (components,) in which patches, within a location, differ with their person's target.

    Every valid patch is an example of the target (people,) of its person. Means leave the differences within a
    person aside, and what is fitted to them may follow what tells locations, not people, from each other.
    """
    rows, places = np.nonzero(people.valid)
    if len(rows) > MOST_PATCHES:
        generator = np.random.Generator(np.random.PCG64([seed, len(rows)]))
        drawn = np.sort(generator.choice(len(rows), MOST_PATCHES, replace=False))
        rows, places = rows[drawn], places[drawn]
    level = np.array(learn_moments(people).level)
    apart = people.embeddings[rows, places] - level[places]
    return fit(apart, target[rows], "regression", seed=seed).weights


def learn_attention(people: People, targets: NDArray[np.float64], *, seed: int) -> Attention:
    """Learn which patches count for `targets` (people, k), standardised, by a linear model of the weighted mean.

    Gradient descent on all people at once; weights begin equal and are drawn back to that. Somebody without a valid
    patch tells nothing of them and is left out.
    """
    told = np.flatnonzero(people.valid.any(axis=1))
    people, targets = people.chosen(told.tolist()), targets[told]
    generator = torch.Generator().manual_seed(seed)
    known = torch.from_numpy(np.where(people.valid[:, :, np.newaxis], people.embeddings, 0.0)).float()
    valid = torch.from_numpy(people.valid)
    mean = known[valid].mean(dim=0)
    scale = known[valid].std(dim=0) + 1e-6
    known = torch.where(valid.unsqueeze(2), (known - mean) / scale, 0.0)
    wanted = torch.from_numpy(targets).float()
    n_locations, width = known.shape[1:]
    bias, direction = torch.zeros(n_locations, requires_grad=True), torch.zeros(width, requires_grad=True)
    weights = (torch.randn(width, wanted.shape[1], generator=generator) * 0.01).requires_grad_()
    optimiser = torch.optim.Adam([bias, direction, weights], lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        found = _weighted(known, valid, bias, direction) @ weights
        drawn_back = bias.square().mean() + direction.square().sum() + weights.square().sum()
        loss = functional.mse_loss(found, wanted) + DECAY * drawn_back
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # Of embeddings as they are: what the mean would add is the same for every patch, and falls out of the softmax.
    served = (direction.detach() / scale).double()
    return Attention(bias=tuple(bias.detach().double().tolist()), direction=tuple(served.tolist()))


def _weighted(known: Tensor, valid: Tensor, bias: Tensor, direction: Tensor) -> Tensor:
    logits = (known @ direction + bias).masked_fill(~valid, float("-inf"))
    return torch.einsum("pl,plc->pc", torch.softmax(logits, dim=1), known)
