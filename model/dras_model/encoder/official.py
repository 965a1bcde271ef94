"""Imports a checkpoint of the DrasCLR authors: the query encoder of `checkpoint_NNNN.pth.tar`.

Needs neither PyTorch nor trust in the file. Key encoder, queue and optimiser are checked for what they are and
stay unread; whatever does not belong in such a checkpoint is named.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from dras_model.encoder.architecture import EncoderConfig, Shape
from dras_model.encoder.torch_archive import open_archive
from dras_model.encoder.torch_pickle import ArchiveInvalid, TensorEntry
from dras_model.encoder.weights import EncoderWeights, WeightsInvalid, mismatches
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

WRAPPER = "module."  # of a model that was trained on several devices; one that was not has none
QUERY, KEY = "encoder_q.", "encoder_k."
QUEUE, POINTER = "queue", "queue_ptr"
_UNCOUNTED = ".num_batches_tracked"
_SAVED = ("epoch", "arch", "state_dict", "optimizer")
_MOST_NAMED = 3  # mismatches in one sentence; the rest is counted


@dataclass(frozen=True, slots=True)
class ImportedCheckpoint:
    """The weights of the query encoder, where they came from, and what else was there and stayed unread."""

    weights: EncoderWeights
    epoch: int | None
    sha256: str
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _State:
    """A `state_dict` by its parts, names without wrapper and part; `rest` is what belongs to none."""

    query: Mapping[str, TensorEntry]
    key: Mapping[str, TensorEntry]
    loose: Mapping[str, TensorEntry]
    wrapper: str


def import_checkpoint(checkpoint: Path, configs: Path, *, n_patches: int) -> ImportedCheckpoint:
    """Read `checkpoint` with the `configs.json` beside it, for an atlas of `n_patches` corners.

    Raises `SetupRefused` (CHECKPOINT_INVALID) where anything does not fit; nothing that the file pickles
    is run.
    """
    config = _read_config(configs, n_patches=n_patches)
    try:
        with checkpoint.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        with open_archive(checkpoint) as archive:
            saved = _checkpoint(archive.root())
            state = _state(saved)
            _check_sizes(config, state.query, named=configs.name)
            _check_all(_wrong(config, state, n_patches=n_patches))
            arrays = {name: archive.array(entry).astype(np.float32) for name, entry in state.query.items()}
        weights = EncoderWeights(config, arrays)
    except OSError as fault:
        raise _refused(checkpoint, f"the file cannot be read ({fault.strerror})") from fault
    except (ArchiveInvalid, WeightsInvalid) as fault:
        raise _refused(checkpoint, str(fault)) from fault
    return ImportedCheckpoint(weights, saved.get("epoch"), sha256, tuple(_unread(saved, state)))


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


def _checkpoint(saved: object) -> Mapping[str, Any]:
    """Check what lies around the `state_dict`; ArchiveInvalid."""
    if not isinstance(saved, Mapping) or not isinstance(saved.get("state_dict"), Mapping):
        raise ArchiveInvalid("it holds no state_dict")
    epoch, optimiser = saved.get("epoch"), saved.get("optimizer")
    if epoch is not None and (type(epoch) is not int or epoch < 0):
        raise ArchiveInvalid("its epoch is no number of epochs")
    if optimiser is not None and not (
        isinstance(optimiser, Mapping) and {"state", "param_groups"} <= set(optimiser)
    ):
        raise ArchiveInvalid("its optimizer is no state of an optimiser (state, param_groups)")
    return saved


def _state(saved: Mapping[str, Any]) -> _State:
    """Sort the entries of the `state_dict`; ArchiveInvalid where one is no tensor, or no encoder is there."""
    state = saved["state_dict"]
    names = [name for name in state if isinstance(name, str)]
    wrapper = WRAPPER if any(name.startswith(WRAPPER + QUERY) for name in names) else ""
    if not any(name.startswith(wrapper + QUERY) for name in names):
        raise ArchiveInvalid(f"its state_dict has neither {WRAPPER}{QUERY}* nor {QUERY}*, the encoder to use")
    parts: dict[str, dict[str, TensorEntry]] = {QUERY: {}, KEY: {}, "": {}}
    for name, value in state.items():
        shown = ascii(name).strip("'\"")
        if not isinstance(name, str) or not isinstance(value, TensorEntry):
            kind = " of floating-point numbers" if QUERY in shown else ""
            raise ArchiveInvalid(f"{shown:.80} is no tensor{kind}")
        bare = name.removeprefix(wrapper)
        part = next((part for part in (QUERY, KEY) if bare.startswith(part)), "")
        if part and name.startswith(wrapper):
            if name.endswith(_UNCOUNTED):
                continue
            if not value.is_floating:
                raise ArchiveInvalid(f"{shown:.80} is no tensor of floating-point numbers")
            parts[part][bare.removeprefix(part)] = value
        else:
            parts[""][name] = value
    return _State(parts[QUERY], parts[KEY], parts[""], wrapper)


def _check_sizes(config: EncoderConfig, query: Mapping[str, TensorEntry], *, named: str) -> None:
    """Say a wrong size in the words of the configuration, before it shows as the shape of many layers."""
    for parameter, n_axes, axis, setting, what in (
        ("conv1.weight", 6, 0, "num_experts", "experts"),
        ("bn4.weight", 1, 0, "rep_dim", "numbers in an embedding (rep_dim)"),
        ("fc.2.weight", 2, 0, "moco_dim", "numbers in a projection (moco_dim)"),
    ):
        entry = query.get(parameter)
        if entry is None or len(entry.shape) != n_axes:
            continue
        found, stated = entry.shape[axis], getattr(config, setting)
        if found != stated:
            raise ArchiveInvalid(f"it has {found} {what}, {named} names {stated}")


def _wrong(config: EncoderConfig, state: _State, *, n_patches: int) -> Iterator[str]:
    """Yield a clause for each entry of the state_dict that is not what a DrasCLR checkpoint holds there."""
    yield from mismatches(config, {name: entry.shape for name, entry in state.query.items()})
    if state.key:
        for clause in mismatches(config, {name: entry.shape for name, entry in state.key.items()}):
            yield f"of the key encoder, {clause}"
    for name, entry in state.loose.items():
        bare = name.removeprefix(state.wrapper) if name.startswith(state.wrapper) else name
        if bare == QUEUE:
            length = entry.shape[1] if len(entry.shape) == 3 else 0
            needed: Shape = (config.moco_dim, length, n_patches)
            if entry.shape != needed or length == 0:
                wanted = f"({config.moco_dim}, keys, {n_patches})"
                yield f"{name} has shape {entry.shape}, {wanted} is needed"
        elif bare == POINTER:
            if entry.shape != (n_patches,):
                yield f"{name} has shape {entry.shape}, ({n_patches},) is needed"
        else:
            yield f"{ascii(name)[1:-1]:.80} belongs to no part of a DrasCLR checkpoint"


def _check_all(clauses: Iterator[str]) -> None:
    named = list(islice(clauses, _MOST_NAMED))
    n_more = sum(1 for _ in clauses)
    if named:
        more = f"; and {n_more} more do not fit" if n_more else ""
        raise ArchiveInvalid("; ".join(named) + more)


def _unread(saved: Mapping[str, Any], state: _State) -> Iterator[str]:
    """Name what was there besides the query encoder."""
    if state.key:
        yield f"key encoder ({len(state.key)} tensors)"
    for name, entry in state.loose.items():
        yield f"{name} ({' × '.join(str(n) for n in entry.shape)})"
    for name in saved:
        if name not in ("epoch", "state_dict"):
            yield ascii(name).strip("'\"") + ("" if name in _SAVED else " (unknown)")


def _refused(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.CHECKPOINT_INVALID, name=path.name, reason=reason)
