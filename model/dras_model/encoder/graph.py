"""The served form of the encoder: an ONNX graph from HU to embeddings, written with `onnx.helper` alone.

BatchNorm is folded into experts and bias, the intensity mapping is inside, and a batch of patches is one
grouped convolution a layer, each patch a group with the kernel of its own location. No torch.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dras_model.encoder.architecture import (
    BATCH_NORM_EPSILON,
    INTENSITY_SCALE_HU,
    KERNEL_SIZE,
    LOCATION_SIZE,
    PATCH_SIZE,
    WINDOW_HU,
    Layer,
    layers,
)
from dras_model.encoder.weights import EncoderWeights

PATCHES, LOCATIONS, EMBEDDINGS = "patches", "locations", "embeddings"
OPSET = 13
IR_VERSION = 8  # of ONNX 1.10 (2021); with this opset any runtime of the years since reads the graph
BATCH = 16  # 581 patches on 2 cores: 8 to 42 within noise (1.2 s), 64 to 128 +10 % and +150 to 360 MB


def build(weights: EncoderWeights, *, batch: int = BATCH) -> onnx.ModelProto:
    """Return the graph: patches (batch, 32, 32, 32) int16 HU, locations (batch, 3) → (batch, rep_dim).

    The batch is fixed, because the number of groups of a convolution is an attribute in ONNX. An
    im2col form with batched MatMul would leave it free; it took three times as long and twice the memory.
    """
    writer = _Writer()
    image = _normalised(writer)
    for layer in layers(weights.config):
        image = _conditional_convolution(writer, weights, layer, image, batch=batch)
    flat = writer.constant("embedding_shape", np.array([batch, weights.config.rep_dim], dtype=np.int64))
    writer.node("Reshape", [image, flat], EMBEDDINGS)
    cube = [PATCH_SIZE] * 3
    graph = helper.make_graph(
        writer.nodes,
        "encoder",
        [
            helper.make_tensor_value_info(PATCHES, TensorProto.INT16, [batch, *cube]),
            helper.make_tensor_value_info(LOCATIONS, TensorProto.FLOAT, [batch, LOCATION_SIZE]),
        ],
        [helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, [batch, weights.config.rep_dim])],
        writer.constants,
    )
    model = helper.make_model(graph, producer_name="dras", opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    return model


def is_self_contained(model: bytes) -> bool:
    """Whether `model` is a serialised ONNX model of which no tensor lies in another file."""
    try:
        tensors = _tensors(onnx.ModelProto.FromString(model))
    except DecodeError:
        return False
    return all(tensor.data_location != TensorProto.EXTERNAL for tensor in tensors)


class _Writer:
    """Nodes and constants in the order in which they are written; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, dtype=np.float32))

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


def _normalised(writer: _Writer) -> str:
    """HU → (clip(HU, -1024, 240) + 1024) / 632 - 1; ONNX Runtime clips no int16, so the cast comes first."""
    low, high = WINDOW_HU
    hu = writer.node("Cast", [PATCHES], "hu", to=TensorProto.FLOAT)
    window = [writer.scalar("window_low", low), writer.scalar("window_high", high)]
    clipped = writer.node("Clip", [hu, *window], "hu_in_window")
    shifted = writer.node("Sub", [clipped, "window_low"], "hu_above_low")
    scaled = writer.node("Div", [shifted, writer.scalar("scale", INTENSITY_SCALE_HU)], "intensity_from_0")
    return writer.node("Sub", [scaled, writer.scalar("one", 1.0)], "intensity")


def _conditional_convolution(
    writer: _Writer, weights: EncoderWeights, layer: Layer, image: str, *, batch: int
) -> str:
    """One layer: shares (B, E), kernels (B·c_out, c_in, 3, 3, 3), convolution with B groups, ELU."""
    name = layer.convolution
    kernels, bias = _folded(weights, layer)
    kernel_shape = np.array([batch * layer.out_channels, *kernels.shape[2:]], dtype=np.int64)
    image_shape = np.array([1, batch * layer.in_channels, *[layer.in_size] * 3], dtype=np.int64)
    routing = [
        writer.constant(f"{name}.routing.weight", weights.parameters[f"{name}._routing_fn.fc.weight"].T),
        writer.constant(f"{name}.routing.bias", weights.parameters[f"{name}._routing_fn.fc.bias"]),
    ]
    routed = writer.node("Gemm", [LOCATIONS, *routing], f"{name}.routed")
    shares = writer.node("Sigmoid", [routed], f"{name}.shares")
    experts = writer.constant(f"{name}.experts", kernels.reshape(len(kernels), -1))
    mixed = writer.node("MatMul", [shares, experts], f"{name}.mixed")
    shape = writer.constant(f"{name}.kernel_shape", kernel_shape)
    kernel = writer.node("Reshape", [mixed, shape], f"{name}.kernel")
    shape = writer.constant(f"{name}.image_shape", image_shape)
    grouped = writer.node("Reshape", [image, shape], f"{name}.grouped")
    convolved = writer.node(
        "Conv",
        [grouped, kernel, writer.constant(f"{name}.bias", np.tile(bias, batch))],
        f"{name}.convolved",
        group=batch,
        kernel_shape=[KERNEL_SIZE] * 3,
        pads=[1] * 6,
        strides=[layer.stride] * 3,
    )
    return writer.node("Elu", [convolved], f"{name}.activated")


def _folded(weights: EncoderWeights, layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Experts (E, c_out, c_in, 3, 3, 3) and bias (c_out,) that hold the BatchNorm; folded in float64.

    s = γ / sqrt(σ² + ε): s·(W * x + b − μ) + β = (s·W) * x + (s·(b − μ) + β), for each expert alike.
    """
    gamma, beta, mean, variance = (
        weights.parameters[f"{layer.norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    experts = weights.parameters[f"{layer.convolution}.weight"] * scale[:, None, None, None, None]
    bias = (weights.parameters[f"{layer.convolution}.bias"] - mean) * scale + beta
    return experts.astype(np.float32), bias.astype(np.float32)


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Every tensor below a protobuf message, however deep: initialisers, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is None:  # numbers and texts
            continue
        for part in value if hasattr(value, "__len__") else [value]:
            if isinstance(part, TensorProto):
                yield part
            else:
                yield from _tensors(part)
