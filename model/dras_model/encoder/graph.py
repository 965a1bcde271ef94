"""The served form of the encoder: an ONNX graph from HU to embeddings, written with `onnx.helper` alone.

BatchNorm is folded into experts and bias, the intensity mapping is inside, and each layer is written in the form
that its plan names; the forms are in `forms`. No torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from dras_model.encoder.architecture import LOCATION_SIZE, PATCH_SIZE, Layer, layers
from dras_model.encoder.forms import blocked, slabs
from dras_model.encoder.forms.dense import dense
from dras_model.encoder.forms.grouped import channels_last, grouped
from dras_model.encoder.forms.unfolded import unfolded
from dras_model.encoder.forms.writer import (
    EMBEDDINGS,
    LOCATIONS,
    PATCHES,
    Elu,
    Folded,
    Writer,
    intensity,
)
from dras_model.encoder.manifest import FormName
from dras_model.encoder.weights import EncoderWeights

__all__ = [
    "BATCH",
    "CUDA_BATCH",
    "EMBEDDINGS",
    "IR_VERSION",
    "LOCATIONS",
    "OPSET",
    "PATCHES",
    "PLANS",
    "Plan",
    "build",
    "is_self_contained",
]


OPSET = 13
IR_VERSION = 8  # of ONNX 1.10 (2021); with this opset any runtime of the years since reads the graph
BATCH = 16  # of a graph for a CPU: larger ones leave the caches, smaller ones read the experts too often
# Of a graph for a GPU: four batches hold the 581 corners of the published atlas. Not measured, see decision 0010.
CUDA_BATCH = 146


@dataclass(frozen=True, slots=True)
class Plan:
    """Which form the layers take: `body` all but the last, which is dense; `dense` names more that are."""

    body: FormName
    elu: Elu
    dense: frozenset[str] = frozenset({"conv4"})

    @property
    def channel_block(self) -> int | None:
        """Channels that the processor's kernels must keep side by side; None where any will do."""
        return slabs.BLOCK if self.body == "blocked" else None


PLANS: Mapping[FormName, Plan] = MappingProxyType(
    {
        "grouped": Plan("grouped", "exponential"),
        "blocked": Plan("blocked", "exponential"),
        "unfolded": Plan("unfolded", "operator"),
    }
)

# Slices of a slab that a layer of `blocked` puts out: two while 8 channels would leave half a block empty, and
# where 16 channels gain from reading once for two slices. From 32 channels on there is nothing to gain.
_SLICES: Mapping[str, int] = MappingProxyType(
    {"conv1": 2, "conv2": 2, "downsample1.conv1": 2, "downsample1.conv2": 2}
)
# Up to here patch by patch: 1 MB of an image fits the cache of a core, and the first kernels know no groups.
_ONE_BY_ONE = "conv2"


def build(
    weights: EncoderWeights, *, form: FormName = "grouped", batch: int = BATCH, plan: Plan | None = None
) -> onnx.ModelProto:
    """Return the graph: patches (batch, 32, 32, 32) int16 HU, locations (batch, 3) → (batch, rep_dim).

    The batch is fixed, because the number of groups of a convolution is an attribute in ONNX. `plan` takes the
    place of the one that `form` names.
    """
    plan = plan or PLANS[form]
    writer = Writer(weights, batch=batch, elu=plan.elu)
    image = intensity(writer)
    folded = [writer.fold(layer) for layer in layers(weights.config)]
    body = [layer for layer in folded if layer.name not in plan.dense]
    features = _BODIES[plan.body](writer, body, image)
    for layer in folded[len(body) :]:
        features = dense(writer, layer, features)
    writer.node("Identity", [features], EMBEDDINGS)
    return _model(writer)


def is_self_contained(model: bytes) -> bool:
    """Whether `model` is a serialised ONNX model of which no tensor lies in another file."""
    try:
        tensors = _tensors(onnx.ModelProto.FromString(model))
    except DecodeError:
        return False
    return all(tensor.data_location != TensorProto.EXTERNAL for tensor in tensors)


def _grouped_body(writer: Writer, body: list[Folded], image: str) -> str:
    for folded in body:
        image = grouped(writer, folded, image)
    return _features(writer, body[-1].layer, image)


def _unfolded_body(writer: Writer, body: list[Folded], image: str) -> str:
    for folded in body:
        image = unfolded(writer, folded, image)
    return _features(writer, body[-1].layer, image)


def _blocked_body(writer: Writer, body: list[Folded], image: str) -> str:
    images = blocked.stem(writer, body[0], image)
    for folded in body[1:]:
        slices = _SLICES.get(folded.name, 1)
        if images.slices == slices == 2 and folded.layer.stride == 1:
            images = blocked.paired(writer, folded, images)
        else:
            images = blocked.summed(writer, folded, images, slices=slices)
        if folded.name == _ONE_BY_ONE:
            images = slabs.joined(writer, images)
    return slabs.channels_last(writer, images)


_BODIES = {"grouped": _grouped_body, "unfolded": _unfolded_body, "blocked": _blocked_body}


def _features(writer: Writer, last: Layer, image: str) -> str:
    return channels_last(writer, image, channels=last.out_channels, size=last.out_size)


def _model(writer: Writer) -> onnx.ModelProto:
    batch, rep_dim = writer.batch, writer.weights.config.rep_dim
    graph = helper.make_graph(
        writer.nodes,
        "encoder",
        [
            helper.make_tensor_value_info(PATCHES, TensorProto.INT16, [batch, *[PATCH_SIZE] * 3]),
            helper.make_tensor_value_info(LOCATIONS, TensorProto.FLOAT, [batch, LOCATION_SIZE]),
        ],
        [helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, [batch, rep_dim])],
        list(writer.constants.values()),
    )
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain == slabs.DOMAIN for node in writer.nodes):
        opsets.append(helper.make_opsetid(slabs.DOMAIN, slabs.DOMAIN_VERSION))
    model = helper.make_model(graph, producer_name="dras", opset_imports=opsets)
    model.ir_version = IR_VERSION
    return model


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
