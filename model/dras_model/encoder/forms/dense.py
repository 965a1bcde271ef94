"""A layer on a few voxels as matrix products with constant weights: every expert's answer, then their sum.

On 2³ voxels most taps lie outside: the last layer uses 8 of 27. Written as input voxels times output voxels those
fall away, and Σ_e share_e (W_e x) needs no kernel of each patch to be mixed, written to memory and read once.
"""

import itertools

import numpy as np

from dras_model.encoder.architecture import KERNEL_SIZE, Layer
from dras_model.encoder.forms.writer import Float32, Folded, Writer


def dense(writer: Writer, folded: Folded, features: str) -> str:
    """Features (batch, z·y·x·c_in) → features (batch, z'·y'·x'·c_out)."""
    layer, name = folded.layer, folded.name
    n_experts, width = len(folded.experts), layer.out_size**3 * layer.out_channels
    weight = writer.constant(f"{name}.dense", _as_matrix(layer, folded.experts))
    product = writer.node("MatMul", [features, weight], f"{name}.by_expert")
    answers = writer.reshape(product, (writer.batch, n_experts, width), f"{name}.answers")
    shares = writer.reshape(writer.shares(layer), (writer.batch, 1, n_experts), f"{name}.weights")
    summed = writer.node("MatMul", [shares, answers], f"{name}.summed")
    flat = writer.reshape(summed, (writer.batch, width), f"{name}.flat")
    bias = writer.constant(f"{name}.bias", np.tile(folded.bias, layer.out_size**3))
    return writer.elu(writer.node("Add", [flat, bias], f"{name}.convolved"), f"{name}.activated")


def _as_matrix(layer: Layer, experts: Float32) -> Float32:
    """Experts (e, o, c, 3, 3, 3) → (z·y·x·c, e·z'·y'·x'·o): which input number counts how much for which output."""
    n_experts, n_out, n_in = experts.shape[:3]
    sources, targets = (list(np.ndindex((size,) * 3)) for size in (layer.in_size, layer.out_size))
    matrix = np.zeros((len(sources), n_in, n_experts, len(targets), n_out), dtype=np.float32)
    for (i, source), (j, target) in itertools.product(enumerate(sources), enumerate(targets)):
        z, y, x = (s - layer.stride * t + 1 for s, t in zip(source, target, strict=True))
        if all(0 <= tap < KERNEL_SIZE for tap in (z, y, x)):
            matrix[i, :, :, j] = experts[:, :, :, z, y, x].transpose(2, 0, 1)
    return matrix.reshape(len(sources) * n_in, -1)
