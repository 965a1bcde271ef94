"""What every form needs: nodes and constants in order, folded weights, the share of each expert, ELU.

Knows nothing of how a layer lays out its images; that is what the forms differ in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dras_model.encoder.architecture import BATCH_NORM_EPSILON, INTENSITY_SCALE_HU, WINDOW_HU, Layer
from dras_model.encoder.weights import EncoderWeights

Float32: TypeAlias = NDArray[np.float32]
Elu: TypeAlias = Literal["operator", "exponential"]

PATCHES, LOCATIONS, EMBEDDINGS = "patches", "locations", "embeddings"


@dataclass(frozen=True, slots=True)
class Folded:
    """One layer with its BatchNorm inside: experts (E, c_out, c_in, 3, 3, 3) and bias (c_out,)."""

    layer: Layer
    experts: Float32
    bias: Float32

    @property
    def name(self) -> str:
        """How the nodes of the layer are called."""
        return self.layer.convolution


class Writer:
    """Nodes and constants in the order in which they are written; a value is known by its name."""

    def __init__(self, weights: EncoderWeights, *, batch: int, elu: Elu) -> None:
        self.weights = weights
        self.batch = batch
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._elu = elu

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Keep `value` under `name`."""
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def scalar(self, value: float) -> str:
        """Return the name of a number, kept once however often it is asked for."""
        return self.constant(f"number {value:g}", np.array(value, dtype=np.float32))

    def integers(self, *values: int) -> str:
        """Return the name of a list of integers (a shape, the pads of an axis), kept once."""
        return self.constant(f"integers {' '.join(map(str, values))}", np.array(values, dtype=np.int64))

    def node(
        self, operator: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output, named as its output is."""
        made = helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes)
        self.nodes.append(made)
        return output

    def reshape(self, value: str, shape: Sequence[int], output: str) -> str:
        """See a value in another shape; costs nothing when it runs."""
        return self.node("Reshape", [value, self.integers(*shape)], output)

    def split(self, value: str, n: int, output: str, *, axis: int = 0) -> list[str]:
        """Cut a value into `n` equal parts; the whole where `n` is one."""
        if n == 1:
            return [value]
        parts = [f"{output}.{i}" for i in range(n)]
        self.nodes.append(helper.make_node("Split", [value], parts, name=output, axis=axis))
        return parts

    def slices(self, value: str, output: str, *, axis: int, start: int, stop: int, step: int = 1) -> str:
        """Take value[start:stop:step] along one axis."""
        ends = [self.integers(number) for number in (start, stop, axis, step)]
        return self.node("Slice", [value, *ends], output)

    def elu(self, value: str, output: str) -> str:
        """ELU(x) = x for x > 0, else exp(x) - 1.

        As an operator, or as max(x, exp(min(x, 0)) - 1), which is the same because exp(x) - 1 ≥ x. ONNX Runtime's
        CPU kernel of Elu takes 1.6 ns a number (3.8 above 4 MB), the four vectorised steps together 0.55.
        """
        if self._elu == "operator":
            return self.node("Elu", [value], output)
        negative = self.node("Min", [value, self.scalar(0)], f"{output}.negative")
        exponential = self.node("Exp", [negative], f"{output}.exponential")
        below = self.node("Sub", [exponential, self.scalar(1)], f"{output}.below")
        return self.node("Max", [value, below], output)

    def fold(self, layer: Layer) -> Folded:
        """Put the BatchNorm into experts and bias, in float64.

        s = γ / sqrt(σ² + ε): s·(W * x + b − μ) + β = (s·W) * x + (s·(b − μ) + β), for each expert alike.
        """
        parameters = self.weights.parameters
        gamma, beta, mean, variance = (
            parameters[f"{layer.norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        experts = parameters[f"{layer.convolution}.weight"] * scale[:, None, None, None, None]
        bias = (parameters[f"{layer.convolution}.bias"] - mean) * scale + beta
        return Folded(layer, experts.astype(np.float32), bias.astype(np.float32))

    def shares(self, layer: Layer) -> str:
        """The share of each expert at each location, sigmoid(A·loc + b): (batch, E). Written once a layer."""
        name = layer.convolution
        if f"{name}.routing.weight" not in self.constants:
            weight, bias = (
                self.weights.parameters[f"{name}._routing_fn.fc.{part}"] for part in ("weight", "bias")
            )
            routing = [
                self.constant(f"{name}.routing.weight", weight.T),
                self.constant(f"{name}.routing.bias", bias),
            ]
            routed = self.node("Gemm", [LOCATIONS, *routing], f"{name}.routed")
            self.node("Sigmoid", [routed], f"{name}.shares")
        return f"{name}.shares"

    def mixed(self, layer: Layer, experts: Float32, output: str) -> str:
        """Σ_e share_e · experts_e for each patch: (batch, numbers of one expert), in the order they lie in."""
        flat = self.constant(f"{output}.experts", experts.reshape(len(experts), -1))
        return self.node("MatMul", [self.shares(layer), flat], output)


def intensity(writer: Writer) -> str:
    """HU → (clip(HU, -1024, 240) + 1024) / 632 - 1; ONNX Runtime clips no int16, so the cast comes first."""
    low, high = (writer.scalar(end) for end in WINDOW_HU)
    hu = writer.node("Cast", [PATCHES], "hu", to=TensorProto.FLOAT)
    clipped = writer.node("Clip", [hu, low, high], "hu_in_window")
    shifted = writer.node("Sub", [clipped, low], "hu_above_low")
    scaled = writer.node("Div", [shifted, writer.scalar(INTENSITY_SCALE_HU)], "intensity_from_0")
    return writer.node("Sub", [scaled, writer.scalar(1)], "intensity")
