"""The conditional convolution as training runs it: kernels mixed once a location, then plain convolutions.

A batch has one location, and its neighbours have theirs, so that a step mixes 1 + R kernels a layer and never one a
sample. The grouped form of `network` computes the same; cuDNN and oneDNN have no fast backward pass for its groups.
"""

import torch
from torch import Tensor
from torch.nn import functional

from dras_model.encoder.network import ConditionalConvolution

_SMALL = 2  # voxels along an edge: there, float32 costs nothing


class SharedKernelConvolution(ConditionalConvolution):
    """Σ_e sigmoid(A·loc + b)_e W_e once for each location, then one convolution for all its images."""

    def forward(self, images: Tensor, locations: Tensor) -> Tensor:
        """Convolve images (B, c_in, z, y, x) at locations (L, 3); B / L images in a row share one."""
        device = images.device.type
        # Mixed in float32 whatever the precision of the products: the gradient of 8 experts is a sum.
        with torch.autocast(device, enabled=False):
            kernels = self._kernels(locations)
        # oneDNN's gradient of 64 -> 128 kernels at 2 x 2 x 2 in bfloat16 holds memory that nobody has written
        # (PyTorch 2.13 on a CPU with AVX512-BF16; tests/unit/dras_training/test_convolution.py).
        reduced = torch.is_autocast_enabled(device) and not (device == "cpu" and images.shape[-1] <= _SMALL)
        with torch.autocast(device, dtype=torch.get_autocast_dtype(device), enabled=reduced):
            return self._convolved(images if reduced else images.float(), kernels)

    def _convolved(self, images: Tensor, kernels: Tensor) -> Tensor:
        convolved = [
            functional.conv3d(part, kernel, self.bias, stride=self.stride, padding=1)
            for part, kernel in zip(torch.split(images, len(images) // len(kernels)), kernels, strict=True)
        ]
        return convolved[0] if len(convolved) == 1 else torch.cat(convolved)
