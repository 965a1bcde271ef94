"""Checkpoints: everything that shapes the next step, in one file that is there whole or not at all.

Ten steps are five, a checkpoint, and five: to the bit, on a CPU. Batches, views and the order of keys are functions
of seed and step (`sampling`, `method`), so that the step's number is their state; generators of torch and NumPy are
kept all the same, for whatever a later network draws from them. Python's own is not: every thread of a process may
draw from it, the jitter of a retry as well, so that its state says nothing about a training.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from dras_model import __version__
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.method import Method
from dras_training.recipe import Recipe
from dras_training.store import not_writable

CHECKPOINT = "checkpoint.pt"
_SCHEMA = 1
_NAMED = {"recipe_sha256": "recipe", "atlas_sha256": "atlas", "store_sha256": "patch store (its subjects)"}


def identity(recipe: Recipe, *, atlas_sha256: str, store_sha256: str) -> dict[str, str]:
    """Return what a checkpoint and the training that goes on from it have in common."""
    return {"recipe_sha256": recipe.sha256, "atlas_sha256": atlas_sha256, "store_sha256": store_sha256}


def save(run: Path, step: int, method: Method, optimiser: Optimizer, *, identity: dict[str, str]) -> None:
    """Put the state after `step` steps in the place of the last checkpoint. Raises SetupRefused."""
    content = {
        "schema": _SCHEMA,
        "step": step,
        "identity": identity,
        "dras_version": __version__,
        "torch_version": str(torch.__version__),
        "method": method.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generators": _generators(),
    }
    draft = run / f".{CHECKPOINT}"
    try:
        with draft.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(run / CHECKPOINT)
    except (OSError, RuntimeError) as fault:  # torch tells a full disk as a RuntimeError
        draft.unlink(missing_ok=True)
        told = (
            fault
            if isinstance(fault, OSError)
            else OSError(0, "writing the checkpoint failed; is the disk full?")
        )
        raise not_writable(run, told) from fault


def load(run: Path, *, identity: dict[str, str] | None) -> dict[str, Any]:
    """Read the checkpoint of `run`, running nothing it holds; `identity` None takes any.

    Raises SetupRefused RESUME_IMPOSSIBLE where it is damaged or belongs to another training.
    """
    try:
        content = torch.load(run / CHECKPOINT, map_location="cpu", weights_only=True)
        found, schema = dict(content["identity"]), content["schema"]
    except FileNotFoundError as fault:
        raise _impossible(run, "there is none") from fault
    except Exception as fault:  # torch lets whatever a damaged file makes of its readers through
        raise _impossible(run, f"the file cannot be read ({type(fault).__name__})") from fault
    if schema != _SCHEMA:
        raise _impossible(run, f"it was written by another version of dras ({content.get('dras_version')})")
    for key, expected in (identity or {}).items():
        if found.get(key) != expected:
            told = f"{str(found.get(key))[:12]}, here {expected[:12]}"
            raise _impossible(run, f"it belongs to another {_NAMED[key]} ({told})")
    return dict(content)


def restore(content: dict[str, Any], method: Method, optimiser: Optimizer) -> int:
    """Bring everything back to where `save` found it; return the number of steps taken."""
    method.load_state_dict(content["method"])
    optimiser.load_state_dict(content["optimiser"])
    _set_generators(content["generators"])
    return int(content["step"])


def seed_generators(seed: int) -> None:
    """Begin a training with generators that do not depend on what the process did before."""
    np.random.seed(seed)  # noqa: NPY002  the one that libraries share
    torch.manual_seed(seed)


def _generators() -> dict[str, Any]:
    name, keys, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002  the one that libraries share
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), place, has_gauss, cached],
    }


def _set_generators(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002


def _impossible(run: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.RESUME_IMPOSSIBLE, name=run.name, reason=reason)
