"""The queues of negatives: a ring of keys for every location, taking batches of any size.

Its buffers are part of the training's state, and so of every checkpoint.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

NOBODY, EMPTY = -1, -2  # owners of a vector drawn at random, and of a place that holds none


class LocationQueues(nn.Module):
    """Keys (location, place, component) and the person each belongs to; 1.22 GB at 581 × 4096 × 128."""

    keys: Tensor
    owners: Tensor
    pointers: Tensor

    def __init__(
        self, n_locations: int, length: int, width: int, *, first: Literal["random", "none"], seed: int
    ) -> None:
        super().__init__()
        keys, owner = torch.zeros(n_locations, length, width), EMPTY
        if first == "random":
            generator = torch.Generator().manual_seed(seed)
            keys, owner = functional.normalize(keys.normal_(generator=generator), dim=2), NOBODY
        self.register_buffer("keys", keys)
        self.register_buffer("owners", torch.full((n_locations, length), owner, dtype=torch.int32))
        self.register_buffer("pointers", torch.zeros(n_locations, dtype=torch.int64))

    def negatives(self, location: int) -> Tensor:
        """Return the keys (k, c) stored for `location`; a later push changes them."""
        return self.keys[location]

    def left_out(self, location: int, people: Tensor, *, mask_own: bool) -> Tensor:
        """Mark (n, k) the places that are empty and, with `mask_own`, the keys of the same person (n,)."""
        owners = self.owners[location]
        marked = (owners == EMPTY).expand(len(people), -1)
        return marked | (owners == people.to(owners).unsqueeze(1)) if mask_own else marked

    @torch.no_grad()
    def push(self, location: int, keys: Tensor, people: Tensor) -> None:
        """Store `keys` (n, c) of `people` (n,) over the oldest; of more than fit, the last ones stay."""
        length = self.keys.shape[1]
        start = int(self.pointers[location])
        places = torch.arange(start, start + len(keys), device=self.keys.device) % length
        kept = slice(max(0, len(keys) - length), None)
        self.keys[location, places[kept]] = keys[kept].to(self.keys)
        self.owners[location, places[kept]] = people[kept].to(self.owners)
        self.pointers[location] = (start + len(keys)) % length
