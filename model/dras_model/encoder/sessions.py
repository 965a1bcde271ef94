"""ONNX Runtime sessions for the graphs of a bundle, and the two ways to run them: from the host, or bound to a GPU.

Which graph fits this processor is asked here, of the processor. What the numbers mean is the business of `runtime`.
"""

import functools
import importlib
import os
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from dras_model.encoder.architecture import LOCATION_SIZE, PATCH_SIZE
from dras_model.encoder.bundle import Bundle, bundle_refused
from dras_model.encoder.forms.slabs import DOMAIN, DOMAIN_VERSION
from dras_model.encoder.graph import EMBEDDINGS, IR_VERSION, LOCATIONS, OPSET, PATCHES
from dras_model.encoder.manifest import Device, GraphForm
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

_ERRORS_ONLY = 3  # of ONNX Runtime's log
_NO_BLOCKS = 1
CUDA_MEMORY_BYTES = (
    8 << 30
)  # unfolded images of 146 patches need 2 to 3 GB; a neighbour on the card keeps the rest
_PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Runner(Protocol):
    """One full batch: patches (batch, 32, 32, 32) int16 and locations (batch, 3) → embeddings (batch, rep_dim)."""

    def __call__(self, patches: NDArray[np.int16], locations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode the batch."""
        ...


def cuda_options(*, tf32: bool, memory_bytes: int = CUDA_MEMORY_BYTES) -> dict[str, str]:
    """Return the options of the CUDA provider; `tf32` rounds factors to ten bits of mantissa, for speed."""
    return {
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE tries every algorithm for each shape at the first run
        "cudnn_conv_use_max_workspace": "1",
        "gpu_mem_limit": str(memory_bytes),
        "arena_extend_strategy": "kSameAsRequested",  # the batch is fixed, so that nothing grows after the first
        "do_copy_in_default_stream": "1",
        "use_tf32": "1" if tf32 else "0",
    }


def graph_for(bundle: Bundle, device: Device) -> GraphForm:
    """Return the graph to run on `device`: the fastest one that this processor has the kernels for."""
    chosen = bundle.manifest.graph_on(device)
    if chosen.channel_block is not None and chosen.channel_block != channel_block():
        return bundle.manifest.graph
    return chosen


@functools.cache
def channel_block() -> int:
    """Return how many channels ONNX Runtime's CPU kernels keep side by side here: 16, 8, or 1 for none.

    Asked by having a counting image put into blocks: the second voxel of channel 0 comes after the block.
    """
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 16, 1, 2])
    blocks = helper.make_tensor_value_info("blocks", TensorProto.FLOAT, [1, 16, 1, 2])
    node = helper.make_node("ReorderInput", ["image"], ["blocks"], domain=DOMAIN)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    model = helper.make_model(helper.make_graph([node], "probe", [image], [blocks]), opset_imports=opsets)
    model.ir_version = IR_VERSION
    onnxruntime, faults = _onnxruntime("cpu")
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), _options(onnxruntime, threads=1), providers=[_PROVIDERS["cpu"]]
        )
        counting = np.arange(32, dtype=np.float32).reshape(1, 16, 1, 2)
        (found,) = session.run(None, {"image": counting})
    except (
        faults.Fail,
        faults.InvalidGraph,
        faults.InvalidArgument,
        faults.NotImplemented,
        faults.RuntimeException,
    ):
        return _NO_BLOCKS
    return int(np.flatnonzero(found.ravel() == 1)[0])


def open_session(bundle: Bundle, form: GraphForm, *, device: Device, tf32: bool = False) -> Any:
    """Start a session for one graph of a bundle. Raises SetupRefused (MISSING_EXTRA, BUNDLE_INVALID).

    On a CPU with one thread: batches side by side need no waiting for each other within each of 600 nodes.
    """
    provider = _PROVIDERS[device]
    onnxruntime, faults = _onnxruntime(device)
    if provider not in onnxruntime.get_available_providers():
        raise _missing(device)
    chosen = cuda_options(tf32=tf32) if device == "cuda" else {}
    try:
        session = onnxruntime.InferenceSession(
            bundle.read(form.file), _options(onnxruntime, threads=1), providers=[(provider, chosen)]
        )
    except (faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.InvalidProtobuf) as fault:
        raise bundle_refused(bundle.path, f"ONNX Runtime does not load {form.file}") from fault
    except (faults.NotImplemented, faults.RuntimeException) as fault:
        raise bundle_refused(bundle.path, f"ONNX Runtime cannot run {form.file} on {device}") from fault
    if session.get_providers()[0] != provider:  # the CUDA libraries did not load; never fall back unseen
        raise _missing(device)
    _check_signature(session, bundle, form)
    return session


def host_runner(session: Any) -> Runner:
    """Run from arrays of the host; may be called from several threads at once."""

    def run(patches: NDArray[np.int16], locations: NDArray[np.float32]) -> NDArray[np.float32]:
        (embeddings,) = session.run([EMBEDDINGS], {PATCHES: patches, LOCATIONS: locations})
        found: NDArray[np.float32] = embeddings
        return found

    return run


def bound_runner(session: Any, form: GraphForm, *, rep_dim: int, device: Device) -> Runner:
    """Run on buffers that stay on the device: one copy in, one copy out, nothing allocated. For one thread."""
    value = importlib.import_module("onnxruntime").OrtValue
    cubes, places = (form.batch, *[PATCH_SIZE] * 3), (form.batch, LOCATION_SIZE)
    patches_there = value.ortvalue_from_shape_and_type(cubes, np.int16, device, 0)
    locations_there = value.ortvalue_from_shape_and_type(places, np.float32, device, 0)
    embeddings_there = value.ortvalue_from_shape_and_type((form.batch, rep_dim), np.float32, device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input(PATCHES, patches_there)
    binding.bind_ortvalue_input(LOCATIONS, locations_there)
    binding.bind_ortvalue_output(EMBEDDINGS, embeddings_there)

    def run(patches: NDArray[np.int16], locations: NDArray[np.float32]) -> NDArray[np.float32]:
        patches_there.update_inplace(patches)
        locations_there.update_inplace(locations)
        session.run_with_iobinding(binding)
        # A copy even where the device is the host: the next batch writes into the same buffer.
        return np.array(embeddings_there.numpy())

    return run


def _onnxruntime(device: Device) -> tuple[ModuleType, ModuleType]:
    # ONNX Runtime reports to its makers unless told not to before it is loaded.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        onnxruntime = importlib.import_module("onnxruntime")
        return onnxruntime, importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as fault:
        raise _missing(device) from fault


def _missing(device: Device) -> SetupRefused:
    gpu = device == "cuda"
    package = "onnxruntime-gpu" if gpu else "onnxruntime"
    return SetupRefused(Code.MISSING_EXTRA, package=package, extra="gpu" if gpu else "cpu")


def _options(onnxruntime: ModuleType, *, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return options


def _check_signature(session: Any, bundle: Bundle, form: GraphForm) -> None:
    expected = {
        PATCHES: ([form.batch, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE], "tensor(int16)"),
        LOCATIONS: ([form.batch, LOCATION_SIZE], "tensor(float)"),
        EMBEDDINGS: ([form.batch, bundle.manifest.encoder.rep_dim], "tensor(float)"),
    }
    ends = [*session.get_inputs(), *session.get_outputs()]
    if {end.name: (end.shape, end.type) for end in ends} != expected:
        reason = f"{form.file} does not map {PATCHES} and {LOCATIONS} to {EMBEDDINGS} as the manifest says"
        raise bundle_refused(bundle.path, reason)
