"""Embeddings from patches: the served graph in ONNX Runtime, trusted after its golden vectors agree.

Knows nothing of studies but that patches of several may share a batch; patches and locations come in, embeddings go
out. No torch.
"""

import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder import batches, manifest
from dras_model.encoder.batches import Piece, Study
from dras_model.encoder.bundle import Bundle, bundle_refused
from dras_model.encoder.manifest import GraphForm, Limit
from dras_model.encoder.sessions import Runner, bound_runner, graph_for, host_runner, open_session
from dras_model.imaging.parallel import available_cores
from dras_model.results.progress import Report, silent
from dras_model.results.study import Stage

Device: TypeAlias = manifest.Device


# With factors rounded to TF32 embeddings of up to 11 drifted by 2.1e-2, cosine 0.99999 (emulated: decision 0010).
# Five times that is allowed, as a multiple of a tolerance that grows with the embeddings.
TF32_WIDENS, TF32_MIN_COSINE = 1000.0, 0.9999


def limit_on(bundle: Bundle, device: Device, *, tf32: bool | None = None) -> Limit:
    """Return how far `device` may be from the golden vectors: as published, or wider for TF32 that is asked for."""
    limit = bundle.manifest.tolerance.on(device)
    if device != "cuda" or tf32 is None or tf32 == limit.tf32:
        return limit
    exact = bundle.manifest.tolerance
    if not tf32:
        return Limit(max_difference=exact.max_difference, min_cosine=exact.min_cosine)
    widened = TF32_WIDENS * exact.max_difference
    return Limit(max_difference=widened, min_cosine=min(TF32_MIN_COSINE, exact.min_cosine), tf32=True)


def distance(found: NDArray[np.generic], expected: NDArray[np.generic]) -> tuple[float, float]:
    """Return the largest |Δ| and the least cosine of the rows of two arrays (n, width), in float64."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return float(np.abs(a - b).max()), float(cosines.min())


class Encoder:
    """An encoder that has proven itself on its golden vectors. One serves all studies of a process."""

    def __init__(self, run: Runner, bundle: Bundle, form: GraphForm, *, device: Device, threads: int) -> None:
        self._run = run
        self._at_once = threads if device == "cpu" else 1  # a GPU divides the work of one batch itself
        self.form = form
        self.rep_dim = bundle.manifest.encoder.rep_dim
        self.bundle = bundle
        plural = "s" if threads > 1 else ""
        # As it goes into the provenance of a result.
        self.device = "cuda" if device == "cuda" else f"cpu, {threads} thread{plural}"

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        device: Device = "cpu",
        threads: int | None = None,
        tf32: bool | None = None,
    ) -> "Encoder":
        """Start a session on `device`, with `threads` (default: the cores this process may use).

        `tf32`, on CUDA only, rounds the factors of products to ten bits (default: as the manifest says); the golden
        vectors then hold to the wider limit of `limit_on`.

        The graph is the one that the bundle keeps for the device or, where this processor lacks its kernels, the
        one that runs anywhere. Its proof on the golden vectors also warms it up. Raises `SetupRefused`:
        MISSING_EXTRA without a runtime for the device, BUNDLE_INVALID where the graph does not load, has other
        inputs, or gives other golden embeddings than the bundle.
        """
        form = graph_for(bundle, device)
        limit = limit_on(bundle, device, tf32=tf32)
        session = open_session(bundle, form, device=device, tf32=limit.tf32)
        rep_dim = bundle.manifest.encoder.rep_dim
        on_gpu = device == "cuda"
        run = bound_runner(session, form, rep_dim=rep_dim, device=device) if on_gpu else host_runner(session)
        encoder = cls(run, bundle, form, device=device, threads=threads or available_cores())
        encoder._prove(limit)
        return encoder

    @property
    def runtime(self) -> tuple[str, str]:
        """Name and version of what runs the graph."""
        return "onnxruntime", str(importlib.import_module("onnxruntime").__version__)

    def encode(
        self, patches: NDArray[np.int16], locations: NDArray[np.float32], *, report: Report = silent
    ) -> NDArray[np.float32]:
        """Return embeddings (n, rep_dim) of `patches` (n, 32, 32, 32) HU at `locations` (n, 3).

        The same input gives the same bits on any number of threads, and what else is in a batch changes none of
        them; another place in the batch may change the last one. The last batch is filled up with zeros. `report`
        hears the fraction done after each. ValueError for other shapes or types.
        """
        (embeddings,) = self.encode_many([Study(patches, locations)], report=report)
        return embeddings

    def encode_many(self, studies: Sequence[Study], *, report: Report = silent) -> list[NDArray[np.float32]]:
        """Return the embeddings of each of `studies`; their patches share batches, and only one is filled up.

        Each study gets what `encode` gives it alone, but for the last bit: its patches lie elsewhere in a batch.
        """
        n = sum(len(study.patches) for study in studies)
        embeddings = [np.empty((len(study.patches), self.rep_dim), dtype=np.float32) for study in studies]
        planned = batches.plan([len(study.patches) for study in studies], batch=self.form.batch)
        for i, encoded in enumerate(self._each(studies, planned)):
            batches.scatter(encoded, planned[i], embeddings)
            report(Stage.ENCODE, min(1.0, (i + 1) * self.form.batch / n))
        return embeddings

    def _each(
        self, studies: Sequence[Study], planned: Sequence[Sequence[Piece]]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the embeddings of each batch in order; as many are worked on at once as there are threads."""

        def encode(pieces: Sequence[Piece]) -> NDArray[np.float32]:
            return self._run(*batches.gather(studies, pieces, batch=self.form.batch))

        if self._at_once == 1 or len(planned) == 1:
            yield from map(encode, planned)
            return
        pool = ThreadPoolExecutor(max_workers=self._at_once)
        try:
            yield from pool.map(encode, planned)
        finally:  # whoever stops listening does not wait for batches that have not begun
            pool.shutdown(cancel_futures=True)

    def _prove(self, limit: Limit) -> None:
        golden = self.bundle.golden
        difference, cosine = distance(self.encode(golden.patches, golden.locations), golden.embeddings)
        # Written so that a NaN fails.
        if not (difference <= limit.max_difference and cosine >= limit.min_cosine):
            reason = (
                f"{self.form.file} on {self.device} differs from the golden embeddings by {difference:.1e}, cosine"
                f" {cosine:.7f}; allowed are {limit.max_difference:.1e} and {limit.min_cosine:.7f}"
            )
            raise bundle_refused(self.bundle.path, reason)
