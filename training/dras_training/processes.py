"""The processes of one training: alone, or started by torchrun. All that one has to know of the others is here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from dras_training.loading import share_of


@dataclass(frozen=True, slots=True)
class Group:
    """This process among all of them, and the device it trains on."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes for all."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return the rows of a batch of `n` that this process computes."""
        return share_of(n, rank=self.rank, world=self.world)

    def gathered(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in their order."""
        if self.world == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def averaged(self, values: Tensor) -> Tensor:
        """Return the mean over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values / self.world

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Yield this process' group: what torchrun has set up, or the process alone, on `device` (cpu or cuda)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Group(device=torch.device(device))
        return
    local = (
        torch.device(device, int(os.environ.get("LOCAL_RANK", "0")))
        if device == "cuda"
        else torch.device("cpu")
    )
    if local.type == "cuda":
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), world, local)
    finally:
        dist.destroy_process_group()
