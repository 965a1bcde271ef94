"""BatchNorm for batches of one location, with running statistics that are those of all locations.

Plain BatchNorm fails here twice. Its running variance averages the variances within batches, so that whatever
differs between locations is missing from it. And a batch of one location is normalised by the statistics of that
location, which evaluation never does: embeddings of training and evaluation differ, location by location.

The first is mended always: mean and second moment are averaged over steps, which gives the variance over all
locations. The second by `kind = "running"`, which is batch renormalisation (Ioffe 2017): the forward pass computes
what evaluation computes, gradients still flow through the statistics of the batch. `kind = "batch"` is as released.

Statistics belong to groups of a fixed number of patches, whatever the number of devices and parts of a batch, so
that one process, many processes and accumulated gradients compute the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

MOST_SCALE, MOST_SHIFT = 3.0, 5.0  # of the correction at the end of the warm-up; values of Ioffe 2017


class GroupNorm3d(nn.BatchNorm3d):
    """BatchNorm3d over groups of images; parameters, buffers and evaluation are those of BatchNorm3d."""

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels: int,
        *,
        eps: float,
        group: int,
        kind: Literal["batch", "running"] = "batch",
        momentum: float = 0.1,
        warm_up_steps: int = 1,
    ) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self.group, self.kind, self.warm_up_steps = group, kind, warm_up_steps
        self._sums: Tensor | None = None  # of means and second moments of the groups since the last commit

    def forward(self, images: Tensor) -> Tensor:
        """Normalise (B, c, z, y, x); in training, each `group` images in a row by themselves."""
        if not self.training:
            return super().forward(images)
        # In float32: of bfloat16 images PyTorch gives bfloat16 statistics, and soon gradients that are no numbers.
        whole = images.float()
        parts = [self._normalised(part) for part in torch.split(whole, min(self.group, len(images)))]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(images.dtype)

    def _normalised(self, images: Tensor) -> Tensor:
        if self.kind == "batch":
            normed, mean, inverse = self._by_batch(images, self.weight, self.bias)
            self._note(mean.detach(), inverse.detach())
            return normed
        normed, mean, inverse = self._by_batch(images, None, None)
        mean, inverse = mean.detach(), inverse.detach()
        self._note(mean, inverse)
        ratio, offset = self._correction(mean, inverse)
        scale, shift = self.weight * ratio, self.weight * offset + self.bias
        per_channel = (1, -1, 1, 1, 1)
        return normed * scale.view(per_channel) + shift.view(per_channel)

    def _by_batch(
        self, images: Tensor, scale: Tensor | None, shift: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images normalised by themselves, their means (c,) and inverse standard deviations (c,)."""
        return torch.native_batch_norm(images, scale, shift, None, None, True, 0.0, self.eps)

    def _note(self, mean: Tensor, inverse: Tensor) -> None:
        told = torch.stack([mean, inverse**-2 - self.eps + mean**2, torch.ones_like(mean)])
        self._sums = told if self._sums is None else self._sums + told

    def _correction(self, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """Return r and d: normed · r + d is normalised by the running statistics, as far as the warm-up lets."""
        progress = (self.num_batches_tracked.float() / self.warm_up_steps).clamp(max=1.0)
        running = (self.running_var + self.eps).rsqrt()
        most = 1.0 + (MOST_SCALE - 1.0) * progress
        ratio = torch.minimum(torch.maximum(running / inverse, 1.0 / most), most)
        furthest = MOST_SHIFT * progress
        offset = torch.minimum(torch.maximum((mean - self.running_mean) * running, -furthest), furthest)
        return ratio, offset

    def take_sums(self) -> Tensor | None:
        """Return and forget the sums (3, c) since the last call: means, second moments, number of groups."""
        sums, self._sums = self._sums, None
        return sums

    @torch.no_grad()
    def commit(self, sums: Tensor) -> None:
        """Move the running statistics towards those of `sums`."""
        mean, second = sums[0] / sums[2], sums[1] / sums[2]
        self.num_batches_tracked += 1
        # The first steps weigh the same: what a new network began with is soon forgotten.
        share = torch.clamp(1.0 / self.num_batches_tracked.float(), min=self.momentum or 0.0)
        raw = torch.lerp(self.running_var + self.running_mean**2, second, share)
        self.running_mean.lerp_(mean, share)
        self.running_var.copy_((raw - self.running_mean**2).clamp_(min=0.0))


def commit_statistics(network: nn.Module) -> None:
    """After a step, bring its statistics, of every process, into the running ones of `network`."""
    layers = [layer for layer in network.modules() if isinstance(layer, GroupNorm3d)]
    found = [(layer, sums) for layer in layers if (sums := layer.take_sums()) is not None]
    if not found:
        return
    flat = torch.cat([sums.flatten() for _, sums in found])
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(flat)  # all layers in one message
    for (layer, sums), told in zip(
        found, torch.split(flat, [sums.numel() for _, sums in found]), strict=True
    ):
        layer.commit(told.view_as(sums))


@contextmanager
def one_group(network: nn.Module) -> Iterator[None]:
    """Normalise whole batches by their own statistics while the context lasts, whatever the recipe says."""
    kept: list[tuple[GroupNorm3d, dict[str, Any]]] = []
    for layer in network.modules():
        if isinstance(layer, GroupNorm3d):
            kept.append((layer, {"group": layer.group, "kind": layer.kind}))
            layer.group, layer.kind = 1 << 30, "batch"
    try:
        yield
    finally:
        for layer, state in kept:
            layer.group, layer.kind = state["group"], state["kind"]
