"""The losses: InfoNCE with negatives of one location, for a patch and for its neighbours.

Yu et al. 2024, section 3. Pure functions of unit vectors. Letters: n = subject of the batch, r = neighbouring
location, c = component of a projection, k = stored key. Checked against slow sums, and against three steps of the
authors' own code.
"""

import torch
from torch import Tensor
from torch.nn import functional


def local_logits(
    queries: Tensor, keys: Tensor, negatives: Tensor, *, temperature: float, left_out: Tensor | None = None
) -> Tensor:
    """Return logits (n, 1 + k): each query (n, c) against its own key (n, c), then the negatives (k, c).

    `left_out` (n, k) marks negatives that a query is not compared with.
    """
    positive = torch.einsum("nc,nc->n", queries, keys)
    negative = torch.einsum("nc,kc->nk", queries, negatives)
    return _logits(positive, negative, temperature, left_out)


def neighbour_logits(
    neighbours: Tensor, keys: Tensor, negatives: Tensor, *, temperature: float, left_out: Tensor | None = None
) -> Tensor:
    """Return logits (n, 1 + k) of the neighbouring patches (n, r, c), summed over r.

    Keys and negatives are those of the centre: a neighbour is asked whose lung it lies in.
    """
    positive = torch.einsum("nrc,nc->n", neighbours, keys)
    negative = torch.einsum("nrc,kc->nk", neighbours, negatives)
    return _logits(positive, negative, temperature, left_out)


def info_nce(logits: Tensor) -> Tensor:
    """Return the mean of -log softmax of the first column of `logits` (n, 1 + k)."""
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def accuracy(logits: Tensor) -> Tensor:
    """Return the fraction of rows whose first column exceeds every other."""
    if logits.shape[1] == 1:
        return torch.ones((), device=logits.device)
    return (logits[:, 0] > logits[:, 1:].max(dim=1).values).float().mean()


def _logits(positive: Tensor, negative: Tensor, temperature: float, left_out: Tensor | None) -> Tensor:
    if left_out is not None:
        negative = negative.masked_fill(left_out, float("-inf"))
    return torch.cat([positive.unsqueeze(1), negative], dim=1) / temperature
