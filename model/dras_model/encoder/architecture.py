"""The shape of the encoder: configuration, layers and parameter names, shared by every form of it.

Source: Yu et al., Medical Image Analysis 2024, 103062. Parameters carry the names of the authors'
checkpoints. Neither arrays nor a framework live here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import Field

from dras_model.results.study import Record

Shape: TypeAlias = tuple[int, ...]

PATCH_SIZE = 32  # voxels along each edge of a patch
KERNEL_SIZE = 3  # with zero padding of 1, along each axis
LOCATION_SIZE = 3  # the corner of a patch on the atlas (x, y, z), each in [-1, 1]
BATCH_NORM_EPSILON = 1e-5  # PyTorch's default, with which the authors trained
WINDOW_HU = (-1024, 240)
INTENSITY_SCALE_HU = 632  # half the window: x = (HU + 1024) / 632 - 1 lies in [-1, 1]

_TAPS = (KERNEL_SIZE,) * 3
_LARGEST = 4096  # bounds what a hostile configuration can make us allocate


class EncoderConfig(Record):
    """The sizes an encoder may vary in, under the names of the authors' `configs.json`."""

    rep_dim: int = Field(128, ge=1, le=_LARGEST, description="length of the embedding h")
    moco_dim: int = Field(128, ge=1, le=_LARGEST, description="length of the projection z, in training only")
    num_experts: int = Field(8, ge=1, le=64, description="kernels mixed in each convolution")
    num_coordinates: Literal[1] = Field(
        1, description="corners that place a patch; the released model has one"
    )


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution conditional on location, its BatchNorm and its ELU; cubes of `in_size` voxels go in."""

    convolution: str
    norm: str
    in_channels: int
    out_channels: int
    stride: int
    in_size: int

    @property
    def out_size(self) -> int:
        """Edge of the cube that comes out."""
        return (self.in_size - 1) // self.stride + 1

    @property
    def fan_in(self) -> int:
        """Numbers that are summed into one output voxel."""
        return self.in_channels * KERNEL_SIZE**3

    def shapes(self, num_experts: int) -> Iterator[tuple[str, Shape]]:
        """Yield the name and shape of each parameter, the statistics of BatchNorm included."""
        yield f"{self.convolution}.weight", (num_experts, self.out_channels, self.in_channels, *_TAPS)
        yield f"{self.convolution}.bias", (self.out_channels,)
        yield f"{self.convolution}._routing_fn.fc.weight", (num_experts, LOCATION_SIZE)
        yield f"{self.convolution}._routing_fn.fc.bias", (num_experts,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{self.norm}.{part}", (self.out_channels,)


def layers(config: EncoderConfig) -> tuple[Layer, ...]:
    """Return the 13 layers in the order in which a patch meets them: 32³ × 1 to 1³ × rep_dim."""
    plan = [("conv1", "bn1", 1, 8, 1), ("conv2", "bn2", 8, 8, 2)]
    for block, channels in ((1, 8), (2, 16), (3, 32)):
        name, wide = f"downsample{block}.", 2 * channels
        plan += [
            (f"{name}conv1", f"{name}bn1", channels, wide, 1),
            (f"{name}conv2", f"{name}bn2", wide, wide, 1),
            (f"{name}conv3", f"{name}bn3", wide, wide, 2),
        ]
    plan += [("conv3", "bn3", 64, 128, 1), ("conv4", "bn4", 128, config.rep_dim, 2)]
    chain: list[Layer] = []
    for step in plan:
        chain.append(Layer(*step, in_size=chain[-1].out_size if chain else PATCH_SIZE))
    return tuple(chain)


def parameter_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """Return name and shape of every parameter: the layers', then those of the projection head."""
    shapes = dict(pair for layer in layers(config) for pair in layer.shapes(config.num_experts))
    shapes["fc.0.weight"] = (config.rep_dim, config.rep_dim)
    shapes["fc.0.bias"] = (config.rep_dim,)
    shapes["fc.2.weight"] = (config.moco_dim, config.rep_dim)
    shapes["fc.2.bias"] = (config.moco_dim,)
    return shapes
