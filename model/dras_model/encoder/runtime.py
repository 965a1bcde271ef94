"""Embeddings from patches: the served graph in ONNX Runtime, trusted after its golden vectors agree.

Knows nothing of studies; patches and locations come in, embeddings go out. No torch.
"""

import importlib
import os
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import LOCATION_SIZE, PATCH_SIZE
from dras_model.encoder.bundle import ENCODER, Bundle, bundle_refused
from dras_model.encoder.graph import EMBEDDINGS, LOCATIONS, PATCHES
from dras_model.imaging.parallel import available_cores
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.progress import Report, silent
from dras_model.results.study import Stage

Device: TypeAlias = Literal["cpu", "cuda"]

_ERRORS_ONLY = 3  # of ONNX Runtime's log
_CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE tries every algorithm for each shape at the first run
    "use_tf32": "0",  # ten bits of mantissa miss the tolerance of the golden vectors
}


class Encoder:
    """An encoder that has proven itself on its golden vectors. One serves all studies of a process."""

    def __init__(self, session: Any, bundle: Bundle, *, device: str) -> None:
        self._session = session
        self._batch = bundle.manifest.graph.batch
        self.rep_dim = bundle.manifest.encoder.rep_dim
        self.bundle = bundle
        self.device = device  # as it goes into the provenance of a result

    @classmethod
    def open(cls, bundle: Bundle, *, device: Device = "cpu", threads: int | None = None) -> "Encoder":
        """Start a session on `device`, with `threads` (default: the cores this process may use).

        Raises `SetupRefused`: MISSING_EXTRA without a runtime for the device, BUNDLE_INVALID where the
        graph does not load, has other inputs, or gives other golden embeddings than the bundle.
        """
        threads = threads or available_cores()
        session = _session(bundle, device=device, threads=threads)
        _check_signature(session, bundle)
        name = "cuda" if device == "cuda" else f"cpu, {threads} thread{'s' if threads > 1 else ''}"
        encoder = cls(session, bundle, device=name)
        encoder._prove(bundle)
        return encoder

    @property
    def runtime(self) -> tuple[str, str]:
        """Name and version of what runs the graph."""
        return "onnxruntime", str(importlib.import_module("onnxruntime").__version__)

    def encode(
        self, patches: NDArray[np.int16], locations: NDArray[np.float32], *, report: Report = silent
    ) -> NDArray[np.float32]:
        """Return embeddings (n, rep_dim) of `patches` (n, 32, 32, 32) HU at `locations` (n, 3).

        The same input gives the same bits on the same number of threads, and what else is in a batch
        changes none of them; another place in the batch may change the last one, where threads divide
        the work. The last batch is filled up with zeros. `report` hears the fraction done after each.
        ValueError for other shapes or types.
        """
        _check_input(patches, locations)
        n = len(patches)
        embeddings = np.empty((n, self.rep_dim), dtype=np.float32)
        for start in range(0, n, self._batch):
            taken = slice(start, start + self._batch)
            feed = {PATCHES: self._filled(patches[taken]), LOCATIONS: self._filled(locations[taken])}
            (encoded,) = self._session.run([EMBEDDINGS], feed)
            embeddings[taken] = encoded[: n - start]
            report(Stage.ENCODE, min(1.0, (start + self._batch) / n))
        return embeddings

    def _filled(self, part: NDArray[Any]) -> NDArray[Any]:
        if len(part) == self._batch:
            return np.ascontiguousarray(part)
        filled = np.zeros((self._batch, *part.shape[1:]), dtype=part.dtype)
        filled[: len(part)] = part
        return filled

    def _prove(self, bundle: Bundle) -> None:
        golden, tolerance = bundle.golden, bundle.manifest.tolerance
        found = self.encode(golden.patches, golden.locations).astype(np.float64)
        expected = golden.embeddings.astype(np.float64)
        difference = float(np.abs(found - expected).max())
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = float(((found * expected).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)).min())
        # Written so that a NaN fails.
        if not (difference <= tolerance.max_difference and cosine >= tolerance.min_cosine):
            reason = (
                f"{ENCODER} on {self.device} differs from the golden embeddings by {difference:.1e}, cosine"
                f" {cosine:.7f}; allowed are {tolerance.max_difference:.1e} and {tolerance.min_cosine:.7f}"
            )
            raise bundle_refused(bundle.path, reason)


def _session(bundle: Bundle, *, device: Device, threads: int) -> Any:
    extra = "gpu" if device == "cuda" else "cpu"
    package = "onnxruntime-gpu" if device == "cuda" else "onnxruntime"
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    # ONNX Runtime reports to its makers unless told not to before it is loaded.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        onnxruntime = importlib.import_module("onnxruntime")
        faults = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as fault:
        raise SetupRefused(Code.MISSING_EXTRA, package=package, extra=extra) from fault
    if provider not in onnxruntime.get_available_providers():
        raise SetupRefused(Code.MISSING_EXTRA, package=package, extra=extra)
    options = onnxruntime.SessionOptions()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Idle threads sleep: alone as fast as spinning (1.2 s for 581 patches), on busy cores 1.2 times as fast.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [(provider, _CUDA_OPTIONS if device == "cuda" else {})]
    try:
        session = onnxruntime.InferenceSession(bundle.read(ENCODER), options, providers=providers)
    except (faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.InvalidProtobuf) as fault:
        raise bundle_refused(bundle.path, f"ONNX Runtime does not load {ENCODER}") from fault
    except (faults.NotImplemented, faults.RuntimeException) as fault:
        raise bundle_refused(bundle.path, f"ONNX Runtime cannot run {ENCODER} on {device}") from fault
    if session.get_providers()[0] != provider:  # the CUDA libraries did not load; never fall back unseen
        raise SetupRefused(Code.MISSING_EXTRA, package=package, extra=extra)
    return session


def _check_signature(session: Any, bundle: Bundle) -> None:
    batch = bundle.manifest.graph.batch
    expected = {
        PATCHES: ([batch, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE], "tensor(int16)"),
        LOCATIONS: ([batch, LOCATION_SIZE], "tensor(float)"),
        EMBEDDINGS: ([batch, bundle.manifest.encoder.rep_dim], "tensor(float)"),
    }
    ends = [*session.get_inputs(), *session.get_outputs()]
    if {end.name: (end.shape, end.type) for end in ends} != expected:
        reason = f"{ENCODER} does not map {PATCHES} and {LOCATIONS} to {EMBEDDINGS} as the manifest says"
        raise bundle_refused(bundle.path, reason)


def _check_input(patches: NDArray[Any], locations: NDArray[Any]) -> None:
    """Raise ValueError: a caller within the house is wrong, not a study."""
    cubes, places = (len(patches), *[PATCH_SIZE] * 3), (len(patches), LOCATION_SIZE)
    if patches.shape != cubes or patches.dtype != np.int16:
        raise ValueError(f"patches are {cubes} int16, found {patches.shape} {patches.dtype}")
    if locations.shape != places or locations.dtype != np.float32:
        raise ValueError(f"locations are {places} float32, found {locations.shape} {locations.dtype}")
