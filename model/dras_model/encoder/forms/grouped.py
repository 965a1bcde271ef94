"""A layer as one three-dimensional convolution of as many groups as there are patches: plain ONNX, runs anywhere.

ONNX Runtime's CPU kernel unfolds each group and multiplies, which for 8 to 32 channels reaches a fifth of the
rate of a matrix product; `blocked` is for that. Images are (batch, c, z, y, x) in whatever shape.
"""

import numpy as np

from dras_model.encoder.architecture import KERNEL_SIZE
from dras_model.encoder.forms.writer import Folded, Writer


def grouped(writer: Writer, folded: Folded, image: str) -> str:
    """Images (batch, c_in, z, y, x) → (1, batch·c_out, z', y', x'), patch g convolved by group g."""
    layer, name, batch = folded.layer, folded.name, writer.batch
    mixed = writer.mixed(layer, folded.experts, f"{name}.mixed")
    kernel = writer.reshape(mixed, (batch * layer.out_channels, *folded.experts.shape[2:]), f"{name}.kernel")
    side_by_side = writer.reshape(
        image, (1, batch * layer.in_channels, *[layer.in_size] * 3), f"{name}.grouped"
    )
    convolved = writer.node(
        "Conv",
        [side_by_side, kernel, writer.constant(f"{name}.bias", np.tile(folded.bias, batch))],
        f"{name}.convolved",
        group=batch,
        kernel_shape=[KERNEL_SIZE] * 3,
        pads=[1] * 6,
        strides=[layer.stride] * 3,
    )
    return writer.elu(convolved, f"{name}.activated")


def channels_last(writer: Writer, image: str, *, channels: int, size: int) -> str:
    """Images (batch, c, z, y, x) → features (batch, z·y·x·c), as `dense` takes them."""
    apart = writer.reshape(image, (writer.batch, channels, size**3), "by_channel")
    last = writer.node("Transpose", [apart], "by_voxel", perm=[0, 2, 1])
    return writer.reshape(last, (writer.batch, size**3 * channels), "features")
