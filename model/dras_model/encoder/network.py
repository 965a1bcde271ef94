"""The encoder in PyTorch: what training changes and what the released weights were made with.

The only module of the encoder that imports torch; serving runs the graph of `graph`. Modules carry the
authors' names, so that their `state_dict` loads as it is. Losses and queues belong to `dras_training`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dras_model.encoder.architecture import (
    BATCH_NORM_EPSILON,
    INTENSITY_SCALE_HU,
    KERNEL_SIZE,
    LOCATION_SIZE,
    WINDOW_HU,
    EncoderConfig,
    layers,
)
from dras_model.encoder.weights import EncoderWeights

_PLAIN_NORM = partial(nn.BatchNorm3d, eps=BATCH_NORM_EPSILON)
_UNCOUNTED = ".num_batches_tracked"  # PyTorch counts batches in BatchNorm; nothing is computed from it


class Encoded(NamedTuple):
    """The embedding h (B, rep_dim) and its projection z (B, moco_dim), which only the loss looks at."""

    embedding: Tensor
    projection: Tensor


class Routing(nn.Module):
    """The share of each expert at a location: sigmoid(A·loc + b)."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.fc = nn.Linear(LOCATION_SIZE, num_experts)

    def forward(self, locations: Tensor) -> Tensor:
        """Map locations (L, 3) to shares (L, E) in (0, 1)."""
        return torch.sigmoid(self.fc(locations))


class ConditionalConvolution(nn.Module):
    """A 3 × 3 × 3 convolution with W(loc) = Σ_e sigmoid(A·loc + b)_e W_e and a bias shared by all locations."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, num_experts: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(num_experts, out_channels, in_channels, *(KERNEL_SIZE,) * 3))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self._routing_fn = Routing(num_experts)
        bound = (in_channels * KERNEL_SIZE**3) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, images: Tensor, locations: Tensor) -> Tensor:
        """Convolve images (B, c_in, z, y, x) at locations (L, 3), in one grouped convolution.

        L divides B, and B / L images in a row share a location: L = B gives each its own, L = 1 one to
        all. The kernels of the L locations are the groups, the images that share one are the batch.
        """
        n_locations = len(locations)
        kernels = self._kernels(locations)
        by_location = images.reshape(n_locations, -1, *images.shape[1:])
        convolved = functional.conv3d(
            by_location.transpose(0, 1).flatten(1, 2),
            kernels.flatten(0, 1),
            self.bias.repeat(n_locations),
            stride=self.stride,
            padding=1,
            groups=n_locations,
        )
        by_sample = convolved.reshape(len(convolved), n_locations, -1, *convolved.shape[2:])
        return by_sample.transpose(0, 1).flatten(0, 1)

    def _kernels(self, locations: Tensor) -> Tensor:
        shares: Tensor = self._routing_fn(locations)
        # l = location, e = expert, o = output channel, c = input channel, i j k = tap
        return torch.einsum("le,eocijk->locijk", shares, self.weight)


class SampleLoopConvolution(ConditionalConvolution):
    """The same sum written as the authors compute it: one sample after the other.

    The oracle of the grouped form, and what benchmarks measure against.
    """

    def forward(self, images: Tensor, locations: Tensor) -> Tensor:
        """Convolve images (B, c_in, z, y, x), each at its own location (B, 3)."""
        convolved = []
        for image, location in zip(images, locations, strict=True):
            kernel = self._kernels(location[None])[0]
            convolved.append(functional.conv3d(image[None], kernel, self.bias, stride=self.stride, padding=1))
        return torch.cat(convolved)


class EncoderNetwork(nn.Module):
    """13 conditional convolutions, each with BatchNorm and ELU, and the projection head of MoCo-v2."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        convolution: type[ConditionalConvolution] = ConditionalConvolution,
        norm: Callable[[int], nn.BatchNorm3d] = _PLAIN_NORM,
    ) -> None:
        super().__init__()
        self.config = config
        self._chain = [(layer.convolution, layer.norm) for layer in layers(config)]
        for layer in layers(config):
            conditional = convolution(
                layer.in_channels, layer.out_channels, stride=layer.stride, num_experts=config.num_experts
            )
            self._place(layer.convolution, conditional)
            self._place(layer.norm, norm(layer.out_channels))
        self.fc = nn.Sequential(
            nn.Linear(config.rep_dim, config.rep_dim), nn.ReLU(), nn.Linear(config.rep_dim, config.moco_dim)
        )

    def forward(self, images: Tensor, locations: Tensor) -> Encoded:
        """Encode normalised images (B, 1, 32, 32, 32) at locations (L, 3); B / L in a row share one."""
        embedding = self.embed(images, locations)
        return Encoded(embedding, self.fc(embedding))

    def embed(self, images: Tensor, locations: Tensor) -> Tensor:
        """Return the embeddings (B, rep_dim) alone; arguments as for `forward`."""
        for _, found in self.maps(images, locations):
            images = found
        return images.flatten(1)

    def maps(self, images: Tensor, locations: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield what each layer gives (B, c, z, y, x), under the name of its convolution."""
        for convolution, norm in self._chain:
            images = self.get_submodule(convolution)(images, locations)
            images = functional.elu(self.get_submodule(norm)(images))
            yield convolution, images

    @classmethod
    def from_weights(
        cls,
        weights: EncoderWeights,
        *,
        convolution: type[ConditionalConvolution] = ConditionalConvolution,
    ) -> "EncoderNetwork":
        """Make a network, in evaluation mode, that computes with a copy of `weights`."""
        network = cls(weights.config, convolution=convolution)
        state = {name: torch.from_numpy(array.copy()) for name, array in weights.parameters.items()}
        counters = {name: value for name, value in network.state_dict().items() if name.endswith(_UNCOUNTED)}
        network.load_state_dict(state | counters)
        return network.eval()

    def to_weights(self) -> EncoderWeights:
        """Return a copy of all parameters and running statistics, off the device."""
        parameters = {
            name: value.detach().cpu().numpy().astype(np.float32, copy=True)
            for name, value in self.state_dict().items()
            if not name.endswith(_UNCOUNTED)
        }
        return EncoderWeights(self.config, parameters)

    def _place(self, path: str, module: nn.Module) -> None:
        block, _, name = path.rpartition(".")
        if block and block not in self._modules:
            self.add_module(block, nn.Module())
        self.get_submodule(block).add_module(name, module)


def normalise(patches_hu: Tensor) -> Tensor:
    """Map patches (B, z, y, x) in HU to images (B, 1, z, y, x) in [-1, 1], float32."""
    low, high = WINDOW_HU
    return ((patches_hu.float().clamp(low, high) - low) / INTENSITY_SCALE_HU - 1.0).unsqueeze(1)
