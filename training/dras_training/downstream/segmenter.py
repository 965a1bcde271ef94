"""A segmenter on disk: a folder with `segmenter.json`, which says what it is, and its weights as safetensors.

It holds the whole encoder, which was trained on and is the bundle's no more, and is bound to the bundle's atlas.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.heads import MOST_COHORT, Interval
from dras_model.encoder.manifest import AtlasIdentity, Sha256
from dras_model.encoder.network import EncoderNetwork
from dras_model.outputs.folder import new_folder
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import NOTICE, Record
from dras_training.convolution import SharedKernelConvolution
from dras_training.downstream.judging import Numbers
from dras_training.downstream.segment import over_cases
from dras_training.downstream.tuning import Start
from dras_training.downstream.unet import SegmenterNetwork

ABOUT, WEIGHTS = "segmenter.json", "segmenter.safetensors"
_UNCOUNTED = ".num_batches_tracked"


class LabelJudged(Record):
    """How well a label is found on cases not learnt from; null where none of them has it."""

    label: int = Field(ge=1, le=255)
    dice: Interval | None
    dice_from_scratch: Interval | None = Field(None, description="of the same course without pretraining")
    n_cases: int = Field(ge=0)


class About(Record):
    """The content of `segmenter.json`."""

    schema_version: Literal["1.0"] = "1.0"
    name: str
    encoder: EncoderConfig
    atlas: AtlasIdentity
    bundle: str = Field(description="name of the bundle whose encoder was trained on")
    bundle_sha256: str
    cohort: str = Field(min_length=1, max_length=MOST_COHORT)
    n_cases: int = Field(ge=1, description="learnt from")
    labels: tuple[LabelJudged, ...] = Field(min_length=1, description="class k of the network is the k-th")
    licence: str
    intended_use: str = NOTICE
    weights_sha256: Sha256


@dataclass(frozen=True, slots=True, eq=False)
class Segmenter:
    """A network in evaluation mode, and what is told of it."""

    about: About
    network: SegmenterNetwork

    @property
    def values(self) -> tuple[int, ...]:
        """The labels, in the order of the network's classes."""
        return tuple(each.label for each in self.about.labels)

    @classmethod
    def load(cls, place: Path) -> Self:
        """Read a segmenter, running nothing it holds. Raises SetupRefused: BUNDLE_NOT_FOUND, BUNDLE_INVALID."""
        try:
            about = About.model_validate_json((place / ABOUT).read_bytes())
            content = (place / WEIGHTS).read_bytes()
        except FileNotFoundError as fault:
            raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(place)) from fault
        except OSError as fault:
            raise _invalid(place, f"it cannot be read ({fault.strerror})") from fault
        except ValidationError as fault:
            raise _invalid(place, f"{ABOUT} is damaged or of another version") from fault
        if hashlib.sha256(content).hexdigest() != about.weights_sha256:
            raise _invalid(place, f"{WEIGHTS} has another SHA-256 than {ABOUT} gives")
        encoder = EncoderNetwork(about.encoder, convolution=SharedKernelConvolution)
        network = SegmenterNetwork(encoder, len(about.labels) + 1)
        counters = {k: v for k, v in network.state_dict().items() if k.endswith(_UNCOUNTED)}
        try:
            state = {name: torch.from_numpy(array.copy()) for name, array in load_tensors(content).items()}
            network.load_state_dict(state | counters)
        except (
            SafetensorError,
            RuntimeError,
            TypeError,
            KeyError,
        ) as fault:  # torch's word for shapes is RuntimeError
            raise _invalid(place, f"{WEIGHTS} does not make the network that {ABOUT} tells") from fault
        return cls(about, network.eval())


def told_of(values: Sequence[int], dice: Mapping[Start, Numbers]) -> tuple[LabelJudged, ...]:
    """Return what is told of each label, of Dice (cases, labels) of each beginning."""
    scratch = dice.get("scratch")
    return tuple(
        LabelJudged(
            label=value,
            dice=over_cases(of_label),
            dice_from_scratch=None if scratch is None else over_cases(scratch[:, k]),
            n_cases=int(np.isfinite(of_label).sum()),
        )
        for k, (value, of_label) in enumerate(zip(values, dice["pretrained"].T, strict=True))
    )


def to_bytes(network: SegmenterNetwork) -> bytes:
    """Return the weights as safetensors; the same weights give the same bytes."""
    kept = {k: v for k, v in network.state_dict().items() if not k.endswith(_UNCOUNTED)}
    return save_tensors({k: v.detach().cpu().numpy().astype(np.float32) for k, v in kept.items()})


def save(place: Path, network: SegmenterNetwork, **told: Any) -> Segmenter:
    """Write a segmenter to the new folder `place`; `told` is what `About` has but the digest.

    Raises SetupRefused OUTPUT_NOT_WRITABLE.
    """
    content = to_bytes(network)
    about = About(**told, weights_sha256=hashlib.sha256(content).hexdigest())
    with new_folder(place) as draft:
        (draft / WEIGHTS).write_bytes(content)
        (draft / ABOUT).write_text(about.model_dump_json(indent=1) + "\n", "utf-8")
    return Segmenter(about, network)


def _invalid(place: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.BUNDLE_INVALID, name=place.name, reason=reason)
