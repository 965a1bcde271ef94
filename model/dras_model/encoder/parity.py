"""Whether every graph of a bundle computes what its weights mean: the report of `dras model verify`.

Each execution provider that is here runs the golden vectors on its own graph and on the one that runs anywhere.
What it gives is held against the bundle's golden embeddings (NumPy, float64, made with the bundle) and against a
reference computed now from the bundle's weights: the PyTorch network where PyTorch is installed, else the NumPy
form. What cannot be run here is named. `runtime` proves an encoder whenever one is opened; this says by how much,
and does not stop at the first that fails.
"""

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dras_model.encoder import reference
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.graph import EMBEDDINGS
from dras_model.encoder.manifest import DEVICES, Device, GraphForm, Limit, Tolerance
from dras_model.encoder.runtime import Encoder, distance
from dras_model.encoder.weights import EncoderWeights
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Record

GOLDEN_REFERENCE = "golden vectors of the bundle (NumPy, float64)"


class Comparison(Record):
    """One output of one execution provider against one reference."""

    provider: Device
    graph: str
    output: str
    reference: str
    max_difference: float | None = Field(
        description="largest |Δ| of one number; null where nothing was given"
    )
    min_cosine: float | None = Field(description="of an output and its reference, least over the patches")
    limit: Limit
    verdict: Literal["agrees", "differs"]
    reason: str | None = Field(None, description="why there are no numbers")


class NotRun(Record):
    """A graph that an execution provider would run, and why it was not."""

    provider: Device
    graph: str
    limit: Limit
    reason: str


class ParityReport(Record):
    """What was compared with what, and whether all of it agrees."""

    bundle: str
    bundle_sha256: str
    n_patches: int
    references: tuple[str, ...]
    compared: tuple[Comparison, ...]
    not_run: tuple[NotRun, ...]

    @property
    def agrees(self) -> bool:
        """Whether something was run, and everything that was run agrees."""
        return bool(self.compared) and all(row.verdict == "agrees" for row in self.compared)

    @property
    def failure(self) -> str:
        """The first mismatch as a clause; empty where there is none."""
        for row in self.compared:
            if row.verdict == "differs":
                numbers = f"max|Δ| {row.max_difference:.1e}" if row.max_difference is not None else row.reason
                return f"{row.graph} on {row.provider} differs from the {row.reference}: {numbers}"
        return "" if self.compared else "no execution provider of its graphs is installed"


def verify(
    bundle: Bundle, *, devices: tuple[Device, ...] = DEVICES, threads: int | None = None
) -> ParityReport:
    """Run the golden vectors on each of `devices` that is here and compare.

    Raises `SetupRefused` (BUNDLE_INVALID) where the bundle's weights are not readable.
    """
    references = dict(_references(bundle))
    compared: list[Comparison] = []
    not_run: list[NotRun] = []
    for device, form in _graphs(bundle, devices):
        limit = bundle.manifest.tolerance.on(device)
        found = _run(bundle, form, device=device, threads=threads)
        if isinstance(found, _Absent):
            not_run.append(NotRun(provider=device, graph=form.file, limit=limit, reason=found.reason))
            continue
        compared += [
            _compared(found, expected, provider=device, graph=form.file, against=name, limit=limit)
            for name, expected in references.items()
        ]
    return ParityReport(
        bundle=bundle.manifest.name,
        bundle_sha256=bundle.sha256,
        n_patches=len(bundle.golden.patches),
        references=tuple(references),
        compared=tuple(compared),
        not_run=tuple(not_run),
    )


def _graphs(bundle: Bundle, devices: tuple[Device, ...]) -> Iterator[tuple[Device, GraphForm]]:
    """Yield the graph of each device, and the one that takes its place where it cannot run."""
    for device in devices:
        yield device, bundle.manifest.graph_on(device)
        if bundle.manifest.graph_on(device) != bundle.manifest.graph:
            yield device, bundle.manifest.graph


def _references(bundle: Bundle) -> Iterator[tuple[str, NDArray[np.generic]]]:
    yield GOLDEN_REFERENCE, bundle.golden.embeddings
    weights = bundle.weights()
    if weights is None:
        return
    try:
        yield _by_torch(weights, bundle)
    except ImportError:
        golden = bundle.golden
        embedded = reference.embed(weights, golden.patches, golden.locations)
        yield "weights of the bundle (NumPy, float64)", embedded


def _by_torch(weights: EncoderWeights, bundle: Bundle) -> tuple[str, NDArray[np.generic]]:
    """Embed the golden patches one after the other, as the authors' code does. ImportError without PyTorch."""
    # By name, because nothing that serves may import PyTorch, this module included.
    torch = importlib.import_module("torch")
    network = importlib.import_module("dras_model.encoder.network")
    encoder = network.EncoderNetwork.from_weights(weights, convolution=network.SampleLoopConvolution)
    with torch.no_grad():
        images = network.normalise(torch.from_numpy(bundle.golden.patches))
        embedded: NDArray[np.generic] = encoder.embed(
            images, torch.from_numpy(bundle.golden.locations)
        ).numpy()
    version = torch.__version__.partition("+")[0]
    return f"weights of the bundle (PyTorch {version}, float32, sample by sample)", embedded


@dataclasses.dataclass(frozen=True, slots=True)
class _Absent:
    """What a graph needs is not on this machine."""

    reason: str


def _run(
    bundle: Bundle, form: GraphForm, *, device: Device, threads: int | None
) -> NDArray[np.float32] | str | _Absent:
    """Embed the golden patches by one graph; a text says why it refuses to.

    Whatever the tolerance: a mismatch is to be measured, not only refused.
    """
    only = {"tolerance": _anything(bundle.manifest.tolerance), "provider_graphs": {device: form}}
    alone = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update=only))
    try:
        encoder = Encoder.open(alone, device=device, threads=threads)
    except SetupRefused as refusal:
        return _Absent(str(refusal)) if refusal.code is Code.MISSING_EXTRA else str(refusal)
    if encoder.form != form:
        return _Absent("this processor lacks the kernels that it is written for")
    return encoder.encode(bundle.golden.patches, bundle.golden.locations)


def _anything(tolerance: Tolerance) -> Tolerance:
    """Let any numbers pass, computed in the same way."""
    passed = {"max_difference": 1e30, "min_cosine": -1.0}
    limits = {device: tolerance.on(device).model_copy(update=passed) for device in DEVICES}
    return tolerance.model_copy(update={**passed, "providers": limits})


def _compared(
    found: NDArray[np.float32] | str,
    expected: NDArray[np.generic],
    *,
    provider: Device,
    graph: str,
    against: str,
    limit: Limit,
) -> Comparison:
    difference = cosine = None
    agrees = False
    if not isinstance(found, str):
        difference, cosine = distance(found, expected)
        # Written so that a NaN differs.
        agrees = difference <= limit.max_difference and cosine >= limit.min_cosine
        finite = bool(np.isfinite(difference) and np.isfinite(cosine))
        difference, cosine = (difference, cosine) if finite else (None, None)
    reason = found if isinstance(found, str) else None if difference is not None else "it gives no numbers"
    return Comparison(
        provider=provider,
        graph=graph,
        output=EMBEDDINGS,
        reference=against,
        max_difference=difference,
        min_cosine=cosine,
        limit=limit,
        verdict="agrees" if agrees else "differs",
        reason=reason,
    )
