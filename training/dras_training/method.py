"""DrasCLR as a module: query and key encoder, the queues, and what one step computes and changes.

Yu et al. 2024, section 3, after MoCo-v2 (Chen et al. 2020). Optimiser, schedule and files are the loop's.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from dras_model.encoder.architecture import BATCH_NORM_EPSILON, INTENSITY_SCALE_HU, WINDOW_HU
from dras_model.encoder.network import EncoderNetwork
from dras_model.encoder.weights import initialise
from dras_model.imaging.atlas import Atlas
from dras_training import augmentation
from dras_training.augmentation import Draws
from dras_training.contrast import accuracy, info_nce, local_logits, neighbour_logits
from dras_training.convolution import SharedKernelConvolution
from dras_training.loading import LoadedBatch
from dras_training.normalisation import GroupNorm3d, commit_statistics
from dras_training.processes import Group
from dras_training.queues import LocationQueues
from dras_training.recipe import Recipe

# `recognised` is the accuracy among the keys of the batch alone, which are all of the same age: that of a queue can
# be had by telling new keys from old ones. `chance` follows from the number of negatives.
MEASURES = (
    "loss",
    "loss_local",
    "loss_neighbours",
    "accuracy_local",
    "accuracy_neighbours",
    "recognised",
    "chance",
)


class Drawn(NamedTuple):
    """What is random in a step: views of all patches of the batch, view by view, and the order of the keys."""

    views: Draws
    order: Tensor


class Method(nn.Module):
    """Everything of a training that steps change, apart from the optimiser's own memory.

    `locations` (L, 3) are the atlas'; all L have a queue, so that a store and a checkpoint speak of the same ones.
    """

    locations: Tensor
    memory_format = torch.channels_last_3d  # of images: see benchmarks/training.py

    def __init__(self, recipe: Recipe, atlas: Atlas) -> None:
        super().__init__()
        self.recipe = recipe
        self.query, self.key = new_network(recipe), new_network(recipe)
        self.key.load_state_dict(self.query.state_dict())
        self.key.requires_grad_(requires_grad=False)
        contrast, seed = recipe.contrast, recipe.optimisation.seed
        n_queues = len(atlas.corners) if contrast.conditioned else 1
        self.queues = LocationQueues(
            n_queues, contrast.queue, recipe.encoder.moco_dim, first=contrast.first_keys, seed=seed
        )
        self.register_buffer("locations", torch.from_numpy(atlas.locations), persistent=False)

    def draw(self, step: int) -> Drawn:
        """Draw what is random in `step`: a function of seed and step, the same in every process."""
        words = np.random.SeedSequence([self.recipe.optimisation.seed, step]).generate_state(2)
        generator = torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))
        n = self.recipe.optimisation.batch
        shuffled = self.recipe.normalisation.shuffle_keys
        order = torch.randperm(n, generator=generator) if shuffled else torch.arange(n)
        n_views = 2 + self.recipe.contrast.neighbours
        return Drawn(augmentation.draw(n_views * n, self.recipe.augmentation, generator), order)

    def step(
        self,
        batch: LoadedBatch,
        group: Group,
        *,
        query: DistributedDataParallel | EncoderNetwork | None = None,
    ) -> Tensor:
        """Compute one batch and leave its gradients; returns MEASURES, of this process' share.

        The key encoder moves, then encodes; the keys enter the queue after the logits are made. The caller steps
        the optimiser, then calls `commit_statistics`.
        """
        drawn = self.draw(batch.key.step)
        self._move_key_encoder()
        patches = batch.patches.to(group.device, non_blocking=True)
        centres = batch.centres.to(group.device, non_blocking=True)
        keys = self._keys(centres, batch.key.location, drawn, group)
        people = torch.tensor(batch.key.people, device=group.device)
        measured = self._accumulate(
            patches, batch, (drawn, keys, people), group=group, query=query or self.query
        )
        self.queues.push(self._queue(batch.key.location), keys, people)
        return measured

    def commit_statistics(self) -> None:
        """Bring the statistics of the step's groups into the running ones of both encoders."""
        commit_statistics(self.query)
        commit_statistics(self.key)

    def _accumulate(
        self,
        patches: Tensor,
        batch: LoadedBatch,
        known: tuple[Drawn, Tensor, Tensor],
        *,
        group: Group,
        query: DistributedDataParallel | EncoderNetwork,
    ) -> Tensor:
        """Add up the gradients of the parts of this process' share."""
        drawn, keys, people = known
        parts = self.recipe.optimisation.accumulate
        mine = torch.arange(len(people))[group.share(len(people))]
        measured = torch.zeros(len(MEASURES), device=group.device)
        for i, (part, rows) in enumerate(zip(patches.chunk(parts), mine.chunk(parts), strict=True)):
            images = self._query_images(part, rows, drawn)
            with _unsynchronised(query, last=i + 1 == parts):
                projected = self._encode(query, images, (batch.key.location, *batch.key.neighbours))
                found = self._losses(
                    projected, rows.to(keys.device), keys, people, location=batch.key.location
                )
                (found[0] / parts).backward()  # type: ignore[no-untyped-call]
            measured += found.detach() / parts
        return measured

    def _losses(
        self, projected: Tensor, rows: Tensor, keys: Tensor, people: Tensor, *, location: int
    ) -> Tensor:
        """Return MEASURES of `projected` ((1 + R) n, c), location by location: rows `rows` (n,) of the batch."""
        contrast, own = self.recipe.contrast, keys[rows]
        queries, *neighbours = functional.normalize(projected, dim=1).chunk(1 + contrast.neighbours)
        negatives, left_out = self._negatives(location, rows, keys, people)
        compare = {"negatives": negatives, "left_out": left_out}
        local = local_logits(queries, own, temperature=contrast.temperature, **compare)
        loss_local, (loss_near, found) = info_nce(local), self._near(neighbours, own, compare)
        total = loss_local + contrast.beta * loss_near
        recognised = ((queries @ keys.T).argmax(dim=1) == rows).float().mean()
        chance = (1.0 / (1.0 + (~left_out).sum(dim=1))).mean()
        return torch.stack([total, loss_local, loss_near, accuracy(local), found, recognised, chance])

    def _near(
        self, neighbours: list[Tensor], own: Tensor, compare: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the neighbouring loss and its accuracy; 0 without neighbours."""
        if not neighbours:
            return own.new_zeros(()), own.new_zeros(())
        near = neighbour_logits(
            torch.stack(neighbours, 1), own, temperature=self.recipe.contrast.temperature, **compare
        )
        return info_nce(near), accuracy(near)

    def _queue(self, location: int) -> int:
        return location if self.recipe.contrast.conditioned else 0

    def _negatives(self, location: int, rows: Tensor, keys: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negatives (k, c) of the people in `rows` (n,), and which each leaves out (n, k)."""
        contrast, mine = self.recipe.contrast, people[rows]
        queued = self.queues.negatives(self._queue(location))
        left_out = self.queues.left_out(self._queue(location), mine, mask_own=contrast.mask_own)
        if not contrast.batch_keys:
            return queued, left_out
        same = mine.unsqueeze(1) == people
        return torch.cat([queued, keys]), torch.cat([left_out, same], dim=1)

    def _query_images(self, patches: Tensor, rows: Tensor, drawn: Drawn) -> Tensor:
        """Views of the centre and of each neighbour, location by location: ((1 + R) n, 1, 32, 32, 32)."""
        n, views = self.recipe.optimisation.batch, [0, *range(2, 2 + self.recipe.contrast.neighbours)]
        wanted = torch.cat([view * n + rows for view in views])
        return self._images(patches.transpose(0, 1).flatten(0, 1), drawn.views.rows(wanted))

    @torch.no_grad()
    def _keys(self, centres: Tensor, location: int, drawn: Drawn, group: Group) -> Tensor:
        """Return the unit keys (N, c) of the whole batch, in its order, each encoded once by some process."""
        # Bytes: no backend of torch.distributed sends int16 everywhere.
        everyone = group.gathered(centres.contiguous().view(torch.uint8)).view(torch.int16)
        rows = drawn.order[group.share(len(everyone))]
        images = self._images(everyone[rows.to(everyone.device)], drawn.views.rows(len(everyone) + rows))
        keys = functional.normalize(self._encode(self.key, images, (location,)), dim=1)
        return group.gathered(keys)[torch.argsort(drawn.order).to(keys.device)]

    def _images(self, patches: Tensor, draws: Draws) -> Tensor:
        """Return what an encoder takes: views in [-1, 1] (n, 1, 32, 32, 32)."""
        hu = augmentation.apply(patches, draws)
        images = ((hu - WINDOW_HU[0]) / INTENSITY_SCALE_HU - 1.0).unsqueeze(1)
        return images.to(memory_format=self.memory_format)

    def _encode(self, encoder: nn.Module, images: Tensor, locations: tuple[int, ...]) -> Tensor:
        reduced = self.recipe.optimisation.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=reduced):
            projected: Tensor = encoder(images, self.locations[list(locations)]).projection
        return projected.float()

    @torch.no_grad()
    def _move_key_encoder(self) -> None:
        share = 1.0 - self.recipe.contrast.key_momentum
        torch._foreach_lerp_(list(self.key.parameters()), list(self.query.parameters()), share)


def new_network(recipe: Recipe) -> EncoderNetwork:
    """Return an encoder in training mode, its weights drawn from the recipe's seed."""
    norm = partial(
        GroupNorm3d,
        eps=BATCH_NORM_EPSILON,
        group=recipe.normalisation.group,
        kind=recipe.normalisation.kind,
        momentum=recipe.normalisation.momentum,
        warm_up_steps=recipe.normalisation.warm_up_steps,
    )
    network = EncoderNetwork(recipe.encoder, convolution=SharedKernelConvolution, norm=norm)
    drawn = initialise(recipe.encoder, seed=recipe.optimisation.seed).parameters
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in drawn.items()}, strict=False)
    return network.train()


def _unsynchronised(
    query: DistributedDataParallel | EncoderNetwork, *, last: bool
) -> AbstractContextManager[None]:
    """Leave gradients to themselves in all parts of a batch but the last."""
    return nullcontext() if last or isinstance(query, EncoderNetwork) else query.no_sync()
