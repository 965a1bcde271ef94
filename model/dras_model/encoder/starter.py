"""The weights that come with the product: kernels in float16, of which a bundle is made where it is first used.

A bundle of three graphs would be three times as large as what it is made of. Every float16 is a float32, so that
the bundle is the same on every machine; what rounding changed is measured when the weights are packed, and told.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors.numpy import load, save

from dras_model.encoder import reference
from dras_model.encoder.architecture import EncoderConfig, layers
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import AtlasIdentity, Sha256, Trained
from dras_model.encoder.weights import EncoderWeights, WeightsInvalid
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Record

NAME = "phantom-starter"
FOLDER = Path(__file__).parent / "shipped"
MOST_BYTES = 20_000_000
LEAST_COSINE = 0.9999  # between embeddings before and after rounding; weights that lose more are not packed


class Rounding(Record):
    """What float16 changed in the embeddings of the golden patches: largest |Δ|, and the least cosine."""

    max_difference: float = Field(ge=0)
    min_cosine: float


class Starter(Record):
    """What is told of the packed weights; `weights_sha256` is of the file beside it."""

    schema_version: Literal["1.0"] = "1.0"
    name: str
    encoder: EncoderConfig
    atlas: AtlasIdentity
    training: Trained
    licence: str
    rounding: Rounding
    weights_sha256: Sha256

    @property
    def sha256(self) -> str:
        """The identity of the weights and of what is told of them: results name their provenance."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def pack(bundle: Bundle, folder: Path = FOLDER) -> Starter:
    """Write the weights of a trained bundle to `folder` and return what is told of them.

    ValueError, whose text is a sentence, where they cannot be packed. Raises SetupRefused BUNDLE_INVALID, OSError.
    """
    weights, training = bundle.weights(), bundle.manifest.training
    if weights is None or not isinstance(training, Trained):
        raise ValueError(f"{bundle.manifest.name} holds no weights that were trained here.")
    content = _half(weights)
    rounded = _whole(weights.config, content)
    rounding = _rounding(bundle, weights, rounded)
    if not rounding.min_cosine >= LEAST_COSINE:  # written so that a NaN fails
        raise ValueError(f"float16 turns embeddings by a cosine of {rounding.min_cosine:.6f}.")
    if len(content) > MOST_BYTES:
        raise ValueError(f"the weights take {len(content)} bytes, {MOST_BYTES} are allowed.")
    starter = Starter(
        name=NAME,
        encoder=weights.config,
        atlas=bundle.manifest.atlas,
        training=training,
        licence=bundle.manifest.licence,
        rounding=rounding,
        weights_sha256=hashlib.sha256(content).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    _weights_file(folder).write_bytes(content)
    _manifest_file(folder).write_text(starter.model_dump_json(indent=1) + "\n", "utf-8")
    return starter


def packed(folder: Path = FOLDER) -> Starter:
    """Return what is told of the packed weights. Raises SetupRefused BUNDLE_INVALID where they are damaged."""
    try:
        return Starter.model_validate_json(_manifest_file(folder).read_bytes())
    except (OSError, ValidationError) as fault:
        raise _damaged("what is told of them cannot be read") from fault


def create_starter(destination: Path, starter: Starter, atlas: Atlas, *, folder: Path = FOLDER) -> Bundle:
    """Write the bundle of the packed weights. Raises SetupRefused: BUNDLE_INVALID, OUTPUT_NOT_WRITABLE."""
    try:
        content = _weights_file(folder).read_bytes()
    except OSError as fault:
        raise _damaged("they cannot be read") from fault
    if hashlib.sha256(content).hexdigest() != starter.weights_sha256:
        raise _damaged("they have another SHA-256 than is told of them")
    try:
        weights = _whole(starter.encoder, content)
    except WeightsInvalid as fault:
        raise _damaged(str(fault)) from fault
    return create_bundle(
        destination, weights, atlas, name=starter.name, training=starter.training, licence=starter.licence
    )


def _half(weights: EncoderWeights) -> bytes:
    """Return the weights as safetensors, kernels in float16 and the few other numbers as they are."""
    kernels = {f"{layer.convolution}.weight" for layer in layers(weights.config)}
    return save(
        {
            name: array.astype(np.float16) if name in kernels else array
            for name, array in weights.parameters.items()
        }
    )


def _whole(config: EncoderConfig, content: bytes) -> EncoderWeights:
    """Return packed weights in float32, which holds every float16 exactly. Raises WeightsInvalid."""
    parameters: dict[str, NDArray[np.float32]] = {
        name: array.astype(np.float32) for name, array in load(content).items()
    }
    return EncoderWeights(config, parameters)


def _rounding(bundle: Bundle, weights: EncoderWeights, rounded: EncoderWeights) -> Rounding:
    golden = bundle.golden
    before, after = (
        reference.embed(each, golden.patches, golden.locations).astype(np.float64)
        for each in (weights, rounded)
    )
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return Rounding(
        max_difference=float(np.abs(before - after).max()),
        min_cosine=float(((before * after).sum(axis=1) / norms).min()),
    )


def _weights_file(folder: Path) -> Path:
    return folder / f"{NAME}.safetensors"


def _manifest_file(folder: Path) -> Path:
    return folder / f"{NAME}.json"


def _damaged(reason: str) -> SetupRefused:
    return SetupRefused(Code.BUNDLE_INVALID, name=NAME, reason=f"the weights of the product: {reason}")
