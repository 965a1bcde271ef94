"""The layout that `blocked` works in: slabs of depth slices as a batch, channels in blocks; and its moves.

Kernels, shifts in depth and convolutions of ONNX Runtime's own domain `com.microsoft.nchwc`, whose convolution
takes a fourth input to add to. Which of them make up a layer is the business of `blocked`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import KERNEL_SIZE
from dras_model.encoder.forms.writer import Float32, Folded, Writer

BLOCK = 16  # channels side by side: the floats in a register of AVX-512
DOMAIN, DOMAIN_VERSION = "com.microsoft.nchwc", 1


@dataclass(frozen=True, slots=True)
class Slabs:
    """Images of a batch in equal parts, each (size / slices, patches·slices·channels, size, size), blocked."""

    values: tuple[str, ...]
    patches: int  # of one part
    slices: int  # of one slab
    channels: int
    size: int

    @property
    def width(self) -> int:
        """Channels of one patch in a slab: those of its slices, one slice after the other."""
        return self.slices * self.channels

    @property
    def count(self) -> int:
        """Slabs of a patch."""
        return self.size // self.slices

    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one part."""
        return self.count, self.patches * self.width, self.size, self.size


def joined(writer: Writer, images: Slabs) -> Slabs:
    """Return the same images in one part."""
    if len(images.values) == 1:
        return images
    whole = writer.node("Concat", images.values, "joined", axis=1)
    return replace(images, values=(whole,), patches=writer.batch)


def channels_last(writer: Writer, images: Slabs) -> str:
    """Slabs of one slice, all patches in one part → features (batch, z·y·x·c), as `dense` takes them."""
    (value,) = images.values
    size, blocks = images.size, images.channels // BLOCK
    apart = writer.reshape(value, (size, writer.batch, blocks, size**2, BLOCK), "by_block")
    last = writer.node("Transpose", [apart], "by_voxel", perm=[1, 0, 3, 2, 4])
    return writer.reshape(last, (writer.batch, size**3 * images.channels), "features")


def taps(slices_in: int, slices_out: int, *, offset: int, stride: int) -> NDArray[np.int64]:
    """Return the tap of the kernel between slice p of a slab and slice q of an output slab: (q, p); -1 for none.

    Slab J of the output lies beside input slab rJ; `offset` counts slabs from there. dz = slices_in · offset + p −
    stride · q + 1, from the positions of the slices in depth.
    """
    q, p = np.indices((slices_out, slices_in))
    dz = slices_in * offset + p - stride * q + 1
    return np.where((dz >= 0) & (dz < KERNEL_SIZE), dz, -1)


def slab_experts(experts: Float32, between: NDArray[np.int64]) -> Float32:
    """Experts (E, o, c, 3, 3, 3) → (E, q·o, p·c, 3, 3): two dimensions, depth in the channels, by `taps`."""
    n, c_out, c_in = experts.shape[:3]
    slices_out, slices_in = between.shape
    kernel = np.zeros((n, slices_out, c_out, slices_in, c_in, KERNEL_SIZE, KERNEL_SIZE), dtype=np.float32)
    for (q, p), tap in np.ndenumerate(between):
        if tap >= 0:
            kernel[:, q, :, p] = experts[:, :, :, tap]
    return kernel.reshape(n, slices_out * c_out, slices_in * c_in, KERNEL_SIZE, KERNEL_SIZE)


def mixed_kernels(writer: Writer, folded: Folded, experts: Float32, *, images: Slabs, name: str) -> list[str]:
    """Mix kernels of experts (E, o, c, 3, 3) for each part of `images`: (patches·o, c, 3, 3).

    The order is that of the domain: blocks of output, blocks of input, y, x, input in the block, output in the
    block; images of fewer channels than a block are taken channel by channel.
    """
    n, c_out, c_in = experts.shape[:3]
    parts = c_in // BLOCK if c_in % BLOCK == 0 else c_in
    apart = experts.reshape(n, c_out // BLOCK, BLOCK, parts, c_in // parts, KERNEL_SIZE, KERNEL_SIZE)
    mixed = writer.mixed(folded.layer, apart.transpose(0, 1, 3, 5, 6, 4, 2), f"{name}.mixed")
    shape = (images.patches * c_out, c_in, KERNEL_SIZE, KERNEL_SIZE)
    return [
        writer.reshape(part, shape, f"{name}.kernel.{i}")
        for i, part in enumerate(writer.split(mixed, writer.batch // images.patches, f"{name}.split"))
    ]


def neighbours(
    writer: Writer, images: Slabs, *, offset: int, ratio: int, last: bool = False, name: str
) -> Slabs:
    """Return the slabs ratio·J + offset, zeros beyond the ends; of each only its last slice, if asked."""
    count, patches = images.count, images.patches
    slices = 1 if last else images.slices
    if not (offset or ratio > 1 or slices < images.slices):
        return images
    values = []
    for i, value in enumerate(images.values):
        at = f"{name}.{i}"
        apart = writer.reshape(value, (count, patches, images.slices, -1), f"{at}.slices")
        if slices < images.slices:
            apart = writer.slices(apart, f"{at}.last", axis=2, start=images.slices - 1, stop=images.slices)
        seen = writer.reshape(apart, (count, -1), f"{at}.rows")
        if ratio > 1:
            seen = writer.slices(seen, f"{at}.strided", axis=0, start=offset % ratio, stop=count, step=ratio)
        seen = shifted(writer, seen, offset // ratio, name=at)
        shape = (count // ratio, patches * slices * images.channels, images.size, images.size)
        values.append(writer.reshape(seen, shape, f"{at}.taken"))
    return replace(images, values=tuple(values), slices=slices)


def shifted(writer: Writer, rows: str, by: int, *, name: str) -> str:
    """Rows (slabs, numbers) → rows whose slab J is slab J + by, zeros beyond the ends.

    In two dimensions this is one long copy; with inner axes ONNX Runtime copies each innermost row by itself.
    """
    if not by:
        return rows
    return writer.node("Pad", [rows, writer.integers(-by, 0, by, 0)], f"{name}.shifted")


def convolved(
    writer: Writer,
    images: Slabs,
    kernels: Sequence[str],
    *,
    name: str,
    bias: str = "",
    onto: Sequence[str] = (),
    groups: int = 1,
    stride: int = 1,
) -> tuple[str, ...]:
    """Convolve each part in y and x, `groups` for each patch, adding to `onto` where there is something."""
    sums = []
    for i, (value, kernel) in enumerate(zip(images.values, kernels, strict=True)):
        inputs = [value, kernel, bias, onto[i] if onto else ""]
        while not inputs[-1]:
            inputs.pop()
        made = writer.node(
            "Conv",
            inputs,
            f"{name}.convolved.{i}",
            domain=DOMAIN,
            group=images.patches * groups,
            kernel_shape=[KERNEL_SIZE] * 2,
            pads=[1] * 4,
            strides=[stride] * 2,
        )
        sums.append(made)
    return tuple(sums)


def activated(writer: Writer, images: Slabs, *, name: str) -> Slabs:
    """Return the ELU of each part."""
    values = [writer.elu(value, f"{name}.activated.{i}") for i, value in enumerate(images.values)]
    return replace(images, values=tuple(values))
