"""Imports a checkpoint of the DrasCLR authors: `module.encoder_q.*` of `checkpoint_NNNN.pth.tar`.

Needs neither PyTorch nor trust in the file. The key encoder, the queue and the optimiser stay unread.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.torch_archive import ArchiveInvalid, TensorEntry, TorchArchive
from dras_model.encoder.weights import EncoderWeights, WeightsInvalid, check_shapes
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

QUERY_ENCODER = "module.encoder_q."
_UNCOUNTED = ".num_batches_tracked"


@dataclass(frozen=True, slots=True)
class ImportedCheckpoint:
    """The weights of the query encoder and where they came from."""

    weights: EncoderWeights
    epoch: int
    sha256: str


def import_checkpoint(checkpoint: Path, configs: Path, *, n_patches: int) -> ImportedCheckpoint:
    """Read `checkpoint` with the `configs.json` beside it, for an atlas of `n_patches` corners.

    Raises `SetupRefused` (CHECKPOINT_INVALID) at the first thing that does not fit; nothing that the
    file pickles is run.
    """
    config = _read_config(configs, n_patches=n_patches)
    try:
        with checkpoint.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        with TorchArchive(checkpoint) as archive:
            saved = archive.root()
            entries = _query_encoder(saved)
            _check_experts(config, entries)
            check_shapes(config, {name: entry.shape for name, entry in entries.items()})
            arrays = {name: archive.array(entry).astype(np.float32) for name, entry in entries.items()}
        weights = EncoderWeights(config, arrays)
    except OSError as fault:
        raise _refused(checkpoint, f"the file cannot be read ({fault.strerror})") from fault
    except (ArchiveInvalid, WeightsInvalid) as fault:
        raise _refused(checkpoint, str(fault)) from fault
    epoch = saved.get("epoch") if isinstance(saved, dict) else None
    return ImportedCheckpoint(weights, epoch if isinstance(epoch, int) else 0, sha256)


def _read_config(configs: Path, *, n_patches: int) -> EncoderConfig:
    try:
        found: Any = json.loads(configs.read_bytes())
        names = EncoderConfig.model_fields
        config = EncoderConfig.model_validate({name: found[name] for name in names}, strict=True)
        n_trained = found["num_patch"]
    except OSError as fault:
        raise _refused(configs, f"the file cannot be read ({fault.strerror})") from fault
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        raise _refused(configs, f"{first['loc'][0]}: {first['msg']}") from fault
    except KeyError as fault:
        raise _refused(configs, f"{fault.args[0]} is missing") from fault
    except (ValueError, TypeError, RecursionError) as fault:
        raise _refused(configs, "it is no JSON object of settings") from fault
    if n_trained != n_patches:
        raise _refused(configs, f"num_patch is {n_trained!r:.20}, the atlas has {n_patches} corners")
    return config


def _query_encoder(saved: object) -> dict[str, TensorEntry]:
    """Entries under `module.encoder_q.`, without that prefix and without the batch counters."""
    state = saved.get("state_dict") if isinstance(saved, dict) else None
    if not isinstance(state, Mapping):
        raise ArchiveInvalid("it holds no state_dict")
    entries: dict[str, TensorEntry] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not key.startswith(QUERY_ENCODER) or key.endswith(_UNCOUNTED):
            continue
        if not isinstance(value, TensorEntry) or not value.is_floating:
            raise ArchiveInvalid(f"{key} is no tensor of floating-point numbers")
        entries[key.removeprefix(QUERY_ENCODER)] = value
    if not entries:
        raise ArchiveInvalid(f"its state_dict has no {QUERY_ENCODER}*, the encoder to use")
    return entries


def _check_experts(config: EncoderConfig, entries: Mapping[str, TensorEntry]) -> None:
    """Say a wrong number of experts in those words, before it shows as a wrong shape of every layer."""
    first = entries.get("conv1.weight")
    if first is not None and len(first.shape) == 6 and first.shape[0] != config.num_experts:
        raise ArchiveInvalid(f"it has {first.shape[0]} experts, configs.json names {config.num_experts}")


def _refused(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.CHECKPOINT_INVALID, name=path.name, reason=reason)
