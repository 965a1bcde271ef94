"""The encoder as it is trained on, from a bundle's weights or from none; what is asked of it is its callers'.

Weights of a bundle keep BatchNorm's statistics of pretraining, which those of a few people would spoil. An encoder
that begins from scratch learns its own, as pretraining does (`normalisation`), from where its cohort's patches
without any label put them.
"""

from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dras_model.encoder.architecture import BATCH_NORM_EPSILON
from dras_model.encoder.network import EncoderNetwork
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.convolution import SharedKernelConvolution
from dras_training.normalisation import GroupNorm3d, commit_statistics, one_group
from dras_training.population import estimate_statistics
from dras_training.store import PatchStore

Start: TypeAlias = Literal["pretrained", "scratch"]
STARTS: tuple[Start, ...] = ("pretrained", "scratch")
MOST_GRADIENT = 1.0  # norm, as of the loss of standardised values; a step of few people may be far off
DECAY = 1e-2
_WHOLE = 1 << 30  # images normalised together: all of a step
_LONG_COUNTED = 1000  # steps: running statistics move by their momentum from the first one on


def pretrained(weights: EncoderWeights) -> EncoderNetwork:
    """Return an encoder that goes on from `weights`."""
    return EncoderNetwork.from_weights(weights, convolution=SharedKernelConvolution)


def from_scratch(weights: EncoderWeights, *, seed: int) -> EncoderNetwork:
    """Return an encoder of the same shape, its weights drawn; its statistics are to be set by the caller."""
    norm = partial(GroupNorm3d, eps=BATCH_NORM_EPSILON, group=_WHOLE, kind="running")
    network = EncoderNetwork(weights.config, convolution=SharedKernelConvolution, norm=norm)
    drawn = initialise(weights.config, seed=seed).parameters
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in drawn.items()}, strict=False)
    return network


def knows_range_of(
    network: EncoderNetwork,
    store: PatchStore,
    locations: NDArray[np.float32],
    *,
    among: NDArray[np.int64],
    seed: int,
) -> EncoderNetwork:
    """Set the statistics of a new encoder to those of patches of some people of a store."""
    estimate_statistics(network, store, locations, seed=seed, among=among)
    return _counted(network)


@torch.no_grad()
def knows_range_of_images(network: EncoderNetwork, images: Tensor, locations: Tensor) -> EncoderNetwork:
    """Set the statistics of a new encoder to those of images (B, 1, 32, 32, 32), each at its location (B, 3)."""
    network.train()
    with one_group(network):
        network.embed(images, locations)
    commit_statistics(network)  # the first step weighs all
    return _counted(network)


def take_step(model: nn.Module, loss: Tensor, optimiser: torch.optim.Optimizer, *, step: int) -> None:
    """Move `model` down `loss`. Raises SetupRefused TRAINING_DIVERGED."""
    if not bool(torch.isfinite(loss)):
        rate = float(optimiser.param_groups[0]["lr"])
        raise SetupRefused(Code.TRAINING_DIVERGED, step=step, learning_rate=rate)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), MOST_GRADIENT)
    optimiser.step()
    commit_statistics(model)


def _counted(network: EncoderNetwork) -> EncoderNetwork:
    for layer in network.modules():
        if isinstance(layer, GroupNorm3d):
            layer.num_batches_tracked.fill_(_LONG_COUNTED)
    return network.train()
