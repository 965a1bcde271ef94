"""Running statistics of BatchNorm over all locations of the atlas, estimated anew when a training is over.

What serving meets is unchanged patches of every location. A batch that mixes locations and subjects at random is
normalised by its own statistics, layer after layer, so that each layer sees what it will see in serving (Wu and
Johnson 2021, "precise BatchNorm", over locations instead of over steps).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dras_model.encoder.network import EncoderNetwork, normalise
from dras_training.normalisation import GroupNorm3d, one_group
from dras_training.store import PatchStore

N_PATCHES = 256  # of a batch: 0.5 GB of float32 in the widest layers
N_BATCHES = 8


@torch.no_grad()
def estimate_statistics(
    network: EncoderNetwork,
    store: PatchStore,
    locations: NDArray[np.float32],
    *,
    seed: int,
    among: NDArray[np.int64] | None = None,
) -> None:
    """Replace the running statistics of `network` by those of valid patches of `store`, drawn at random.

    `among` names the subjects that may be looked at; all by default.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    subjects, places = np.nonzero(store.valid)
    if among is not None:
        seen = np.isin(subjects, among)
        subjects, places = subjects[seen], places[seen]
    was_training = network.training
    network.train()
    with one_group(network):
        for _ in range(max(1, min(N_BATCHES, len(subjects) // N_PATCHES))):
            chosen = generator.permutation(len(subjects))[:N_PATCHES]
            patches = _read(store, subjects[chosen], places[chosen])
            network.embed(normalise(patches), torch.from_numpy(locations[places[chosen]]))
    for layer in network.modules():
        if isinstance(layer, GroupNorm3d):
            _set(layer)
    network.train(was_training)


@torch.no_grad()
def agreement(
    network: EncoderNetwork, store: PatchStore, locations: NDArray[np.float32], *, at: int, most: int = 32
) -> float:
    """Return the mean cosine of embeddings of training and of evaluation, of up to `most` subjects at one location.

    In training, the patches are normalised as the groups of the network's recipe are.
    """
    subjects = np.flatnonzero(store.valid[:, at])[:most]
    images = normalise(torch.from_numpy(store.read((at,), subjects.tolist())[:, 0]))
    place = torch.from_numpy(locations[at : at + 1])
    was_training = network.training
    trained = network.train().embed(images, place)
    for layer in network.modules():
        if isinstance(layer, GroupNorm3d):
            layer.take_sums()  # looking is not training
    evaluated = network.eval().embed(images, place)
    network.train(was_training)
    return float(torch.nn.functional.cosine_similarity(trained, evaluated).mean())


def _set(layer: GroupNorm3d) -> None:
    sums = layer.take_sums()
    if sums is not None:
        mean = sums[0] / sums[2]
        layer.running_mean.copy_(mean)
        layer.running_var.copy_((sums[1] / sums[2] - mean**2).clamp_(min=0.0))


def _read(store: PatchStore, subjects: NDArray[np.int64], places: NDArray[np.int64]) -> Tensor:
    pairs = zip(subjects.tolist(), places.tolist(), strict=True)
    return torch.from_numpy(np.stack([store.read((place,), (subject,))[0, 0] for subject, place in pairs]))
