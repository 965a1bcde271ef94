"""Layers as two-dimensional convolutions in the memory order of ONNX Runtime's fastest CPU kernels.

Those kernels (MLAS "NCHWc") keep 16 channels side by side and multiply without unfolding: 120 to 200 GFLOP/s a core
on these layers, where the three-dimensional kernel reaches 20 to 50. ONNX Runtime uses them of itself for two
dimensions and constant kernels only; written out, the kernels of each patch are mixed at run time from experts that
already lie in their order.

Depth is the batch axis: a slab of one slice, or of two, so that 8 channels fill a block and 16 share what they
read. An output slab sums what its neighbours in depth give: two or three convolutions, each adding to the one
before. A processor with another block width cannot run this; `runtime` asks it, and `grouped` is there for it.
"""

from dataclasses import replace

import numpy as np

from dras_model.encoder.architecture import PATCH_SIZE
from dras_model.encoder.forms.slabs import (
    BLOCK,
    Slabs,
    activated,
    convolved,
    mixed_kernels,
    neighbours,
    shifted,
    slab_experts,
    taps,
)
from dras_model.encoder.forms.writer import Folded, Writer

_PAIR = 2  # slices of a slab


def stem(writer: Writer, folded: Folded, image: str) -> Slabs:
    """Write the first layer: images (batch, 32, 32, 32) → slabs of two slices, each patch a part of its own.

    Two output slices read four input slices, as four channels. The kernels know no groups where a block is not
    filled, so there is a convolution a patch.
    """
    name, count = folded.name, PATCH_SIZE // _PAIR
    pairs = writer.reshape(image, (writer.batch, count, _PAIR, PATCH_SIZE**2), f"{name}.pairs")
    even = writer.slices(pairs, f"{name}.even", axis=2, start=0, stop=1)
    odd = writer.slices(pairs, f"{name}.odd", axis=2, start=1, stop=2)
    before = writer.node("Pad", [odd, writer.integers(0, 1, 0, 0, 0, -1, 0, 0)], f"{name}.before")
    after = writer.node("Pad", [even, writer.integers(0, -1, 0, 0, 0, 1, 0, 0)], f"{name}.after")
    four = writer.node("Concat", [before, even, odd, after], f"{name}.four", axis=2)
    parts = [
        writer.reshape(part, (count, 2 * _PAIR, PATCH_SIZE, PATCH_SIZE), f"{name}.part.{i}")
        for i, part in enumerate(writer.split(four, writer.batch, f"{name}.parts"))
    ]
    images = Slabs(tuple(parts), patches=1, slices=2 * _PAIR, channels=1, size=PATCH_SIZE)
    between = np.array(
        [[0, 1, 2, -1], [-1, 0, 1, 2]]
    )  # the tap between input slice (columns) and output slice
    kernels = mixed_kernels(writer, folded, slab_experts(folded.experts, between), images=images, name=name)
    bias = _bias(writer, folded, images, slices=_PAIR)
    sums = convolved(writer, images, kernels, name=name, bias=bias)
    out = replace(images, values=sums, slices=_PAIR, channels=folded.layer.out_channels)
    return activated(writer, out, name=name)


def summed(writer: Writer, folded: Folded, images: Slabs, *, slices: int) -> Slabs:
    """Write a layer of any stride, to slabs of `slices`: one convolution for each neighbour in depth."""
    layer = folded.layer
    ratio = layer.stride * slices // images.slices
    between = {t: taps(images.slices, slices, offset=t, stride=layer.stride) for t in (0, 1, -1)}
    offsets = [t for t, found in between.items() if (found >= 0).any()]
    sums: tuple[str, ...] = ()
    for t in offsets:
        name = f"{folded.name}.{('here', 'after', 'before')[t]}"
        # Often only the last slice of the slab before matters; half a block cannot be taken alone.
        last = layer.in_channels % BLOCK == 0 and not (between[t][:, :-1] >= 0).any()
        used = between[t][:, -1:] if last else between[t]
        taken = neighbours(writer, images, offset=t, ratio=ratio, last=last, name=name)
        kernels = mixed_kernels(writer, folded, slab_experts(folded.experts, used), images=images, name=name)
        bias = _bias(writer, folded, images, slices=slices) if t == offsets[-1] else ""
        sums = convolved(writer, taken, kernels, name=name, bias=bias, onto=sums, stride=layer.stride)
    out = Slabs(sums, images.patches, slices, layer.out_channels, layer.out_size)
    return activated(writer, out, name=folded.name)


def paired(writer: Writer, folded: Folded, images: Slabs) -> Slabs:
    """Write a layer of stride 1 between slabs of two slices: within a slab, then across to its neighbours.

    Within, a block that is read serves both output slices, which the kernels do 1.5 times as fast as one. Across,
    the first slice reads the second one of the slab before, the second the first one of the slab after.
    """
    layer, name, experts = folded.layer, folded.name, folded.experts
    within = slab_experts(experts, taps(_PAIR, _PAIR, offset=0, stride=1))
    kernels = mixed_kernels(writer, folded, within, images=images, name=f"{name}.within")
    sums = convolved(writer, images, kernels, name=f"{name}.within")
    groups = _PAIR if layer.in_channels % BLOCK == 0 else 1
    if groups == _PAIR:  # the slices of a patch as two groups of their own
        outer = np.concatenate([experts[:, :, :, 0], experts[:, :, :, 2]], axis=1)
    else:  # half a block each: one group, with zeros between the slices
        outer = slab_experts(experts, np.array([[0, -1], [-1, 2]]))
    across = _across(writer, images, name=f"{name}.across")
    kernels = mixed_kernels(writer, folded, outer, images=images, name=f"{name}.across")
    bias = _bias(writer, folded, images, slices=_PAIR)
    sums = convolved(writer, across, kernels, name=f"{name}.across", bias=bias, onto=sums, groups=groups)
    return activated(writer, replace(images, values=sums, channels=layer.out_channels), name=name)


def _across(writer: Writer, images: Slabs, *, name: str) -> Slabs:
    """Slab J of two slices becomes (second slice of J - 1, first slice of J + 1); zeros beyond the ends."""
    count, channels = images.count, images.channels
    whole = channels % BLOCK == 0
    # Slices lie one after the other, or, where both share a block, within each block of each voxel.
    shape = (count, images.patches, 2, -1) if whole else (count, images.patches * images.size**2, 2, channels)
    values = []
    for i, value in enumerate(images.values):
        apart = writer.reshape(value, shape, f"{name}.slices.{i}")
        turned = []
        for which, by in ((1, -1), (0, 1)):
            at = f"{name}.{which}.{i}"
            one = writer.slices(apart, f"{at}.slice", axis=2, start=which, stop=which + 1)
            rows = writer.reshape(one, (count, -1), f"{at}.rows")
            moved = shifted(writer, rows, by, name=at)
            turned.append(writer.reshape(moved, (*shape[:2], 1, shape[3]), f"{at}.turned"))
        joined = writer.node("Concat", turned, f"{name}.joined.{i}", axis=2)
        values.append(writer.reshape(joined, images.shape(), f"{name}.taken.{i}"))
    return replace(images, values=tuple(values))


def _bias(writer: Writer, folded: Folded, images: Slabs, *, slices: int) -> str:
    """The bias of each channel of a part: once for each slice of each patch."""
    return writer.constant(f"{folded.name}.bias", np.tile(folded.bias, images.patches * slices))
