"""The encoder with a decoder: a U-Net over patches, whose way down is DrasCLR's, conditional on location as ever.

What each layer gives before the next halves it goes across (Ronneberger et al. 2015); the way up has no location.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dras_model.encoder.architecture import EncoderConfig, Layer, layers
from dras_model.encoder.network import EncoderNetwork

NORM_GROUPS = 8  # of the decoder's channels: no statistics of a batch, which would be those of few patches
LEAST_WIDTH = 8


class SegmenterNetwork(nn.Module):
    """Scores of each class at each voxel of a patch."""

    def __init__(self, encoder: EncoderNetwork, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self._across = [layer.convolution for layer in across(encoder.config)]
        width = encoder.config.rep_dim
        self.up = nn.ModuleList()
        for layer in reversed(across(encoder.config)):
            narrow = max(LEAST_WIDTH, layer.out_channels // 2)
            self.up.append(_Step(width + layer.out_channels, narrow))
            width = narrow
        self.classes = nn.Conv3d(width, n_classes, kernel_size=1)

    def forward(self, images: Tensor, locations: Tensor) -> Tensor:
        """Map normalised images (B, 1, z, y, x), each at its location (B, 3), to scores (B, classes, z, y, x)."""
        found = dict(self.encoder.maps(images, locations))
        coarse = list(found.values())[-1]
        for step, name in zip(self.up, reversed(self._across), strict=True):
            coarse = step(functional.interpolate(coarse, scale_factor=2.0), found[name])
        scores: Tensor = self.classes(coarse)
        return scores


class _Step(nn.Module):
    """One size up: what comes from below and from across, in a convolution."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(wide, narrow, kernel_size=3, padding=1)
        self.norm = nn.GroupNorm(min(NORM_GROUPS, narrow), narrow)

    def forward(self, below: Tensor, beside: Tensor) -> Tensor:
        return functional.elu(self.norm(self.convolution(torch.cat([below, beside], dim=1))))


def across(config: EncoderConfig) -> list[Layer]:
    """Return the layers whose output goes across: the last of each size, the largest first."""
    return [layer for layer, following in pairwise(layers(config)) if following.stride == 2]
