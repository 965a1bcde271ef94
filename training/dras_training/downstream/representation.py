"""One vector a patient of many patches: a mean, means of regions, or a mean whose weights are learnt.

None of them looks at more than a patch at a time, so that all are served as a `Head`. Regions are the atlas': both
sides, each in thirds of its corners' height.
"""

from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dras_model.encoder.heads import EVERYWHERE, Attention, pool
from dras_training.downstream.people import People

Pooling: TypeAlias = Literal["mean", "regions", "learned"]
POOLINGS: tuple[Pooling, ...] = ("mean", "regions", "learned")
THIRDS = 3
STEPS, RATE, DECAY = (
    200,
    0.05,
    0.02,
)  # of the learnt weights: few people, so that they stay near the plain mean


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
    people: People, groups: NDArray[np.int64], attention: Attention | None = None
) -> NDArray[np.float64]:
    """Return the pooled embeddings (people, groups · components); NaN where a group of a person is empty."""
    return pool(people.embeddings, people.valid, groups, attention=attention).reshape(len(people), -1)


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
