"""A layer as one matrix product a patch, after the 27 neighbours of each voxel were laid side by side.

Made of copies and batched matrix products alone, which a GPU does near its peak; on a CPU the 27-fold copy makes
it three times as slow as `grouped`. Images are (batch, c, z, y, x).
"""

from dras_model.encoder.architecture import KERNEL_SIZE
from dras_model.encoder.forms.writer import Folded, Writer


def unfolded(writer: Writer, folded: Folded, image: str) -> str:
    """Images (batch, c_in, z, y, x) → (batch, c_out, z'·y'·x')."""
    layer, name, batch = folded.layer, folded.name, writer.batch
    size, stride, out = layer.in_size, layer.stride, layer.out_size
    value = writer.reshape(image, (batch, layer.in_channels, *[size] * 3), f"{name}.image")
    around = writer.integers(0, 0, 1, 1, 1, 0, 0, 1, 1, 1)
    value = writer.node("Pad", [value, around], f"{name}.padded")
    # One axis after the other: 9 strided copies instead of 27. Taps come to stand in the order (x, y, z), slowest
    # first, before the channels.
    for axis, letter in ((2, "z"), (3, "y"), (4, "x")):
        taps = [
            writer.slices(
                value,
                f"{name}.{letter}{tap}",
                axis=axis,
                start=tap,
                stop=tap + (out - 1) * stride + 1,
                step=stride,
            )
            for tap in range(KERNEL_SIZE)
        ]
        value = writer.node("Concat", taps, f"{name}.{letter}", axis=1)
    columns = writer.reshape(value, (batch, layer.fan_in, out**3), f"{name}.columns")
    # (e, o, c, z, y, x) → (e, o, x, y, z, c), as the columns lie
    experts = folded.experts.transpose(0, 1, 5, 4, 3, 2)
    mixed = writer.mixed(layer, experts, f"{name}.mixed")
    kernel = writer.reshape(mixed, (batch, layer.out_channels, layer.fan_in), f"{name}.kernel")
    product = writer.node("MatMul", [kernel, columns], f"{name}.product")
    bias = writer.constant(f"{name}.bias", folded.bias[:, None])
    return writer.elu(writer.node("Add", [product, bias], f"{name}.convolved"), f"{name}.activated")
