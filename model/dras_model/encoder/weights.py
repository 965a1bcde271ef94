"""The numbers of an encoder as named arrays: checked once, then trusted; drawn from a seed where untrained.

How they are computed with is the business of `reference`, `network` and `graph`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from dras_model.encoder.architecture import EncoderConfig, Shape, layers, parameter_shapes


class WeightsInvalid(ValueError):
    """A set of parameters does not make the encoder it is said to be; the text is one clause."""


@dataclass(frozen=True, slots=True, eq=False)
class EncoderWeights:
    """All parameters of an encoder, float32, finite, of the names and shapes of `parameter_shapes`."""

    config: EncoderConfig
    parameters: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        check_shapes(self.config, {name: array.shape for name, array in self.parameters.items()})
        for name, array in self.parameters.items():
            if array.dtype != np.float32:
                raise WeightsInvalid(f"{name} is {array.dtype}, float32 is needed")
            if not np.all(np.isfinite(array)):
                raise WeightsInvalid(f"{name} holds a value that is not finite")
            if name.endswith(".running_var") and np.any(array < 0):
                raise WeightsInvalid(f"{name} holds a negative variance")
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    def replaced(self, parameters: Mapping[str, NDArray[np.float32]]) -> "EncoderWeights":
        """Return weights in which the named parameters are new."""
        return EncoderWeights(self.config, {**self.parameters, **parameters})

    def to_bytes(self) -> bytes:
        """Return the parameters as a safetensors file; the same weights give the same bytes."""
        return save_tensors(dict(self.parameters))

    @classmethod
    def from_bytes(cls, config: EncoderConfig, content: bytes) -> "EncoderWeights":
        """Read what `to_bytes` wrote. Raises WeightsInvalid."""
        try:
            return cls(config, load_tensors(content))
        except (SafetensorError, KeyError) as fault:  # KeyError: a type that NumPy does not have
            raise WeightsInvalid("it is no safetensors file of NumPy's types") from fault


def check_shapes(config: EncoderConfig, found: Mapping[str, Shape]) -> None:
    """Raise `WeightsInvalid` at the first name or shape that is not that of `config`."""
    for mismatch in mismatches(config, found):
        raise WeightsInvalid(mismatch)


def mismatches(config: EncoderConfig, found: Mapping[str, Shape]) -> Iterator[str]:
    """Yield a clause for each name or shape that is not that of `config`."""
    expected = parameter_shapes(config)
    for name, shape in expected.items():
        if name not in found:
            yield f"{name} is missing"
        elif found[name] != shape:
            yield f"{name} has shape {found[name]}, {shape} is needed"
    for name in found:
        if name not in expected:
            yield f"{ascii(name)[1:-1]:.80} belongs to no layer of the encoder"


def initialise(config: EncoderConfig, *, seed: int) -> EncoderWeights:
    """Draw untrained weights: the same seed gives the same bits on every machine.

    PyTorch's default for each expert and each linear layer: Kaiming uniform with a = √5, which is
    U(−1/√fan_in, 1/√fan_in) for weights and biases alike. (The authors' six-dimensional weight makes
    PyTorch count the fan-in over the experts' axis; counted per expert, the variance stays near one.)
    BatchNorm starts as the identity; `calibration` fits its statistics.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    fan_in = {layer.convolution: layer.fan_in for layer in layers(config)}
    parameters: dict[str, NDArray[np.float32]] = {}
    for name, shape in parameter_shapes(config).items():
        owner = name.rpartition(".")[0]
        if ".bn" in f".{owner}":
            fill = 1.0 if name.endswith((".weight", ".running_var")) else 0.0
            parameters[name] = np.full(shape, fill, dtype=np.float32)
            continue
        summed = fan_in.get(owner) or parameter_shapes(config)[f"{owner}.weight"][1]
        bound = 1.0 / np.sqrt(summed)
        parameters[name] = generator.uniform(-bound, bound, shape).astype(np.float32)
    return EncoderWeights(config, parameters)
