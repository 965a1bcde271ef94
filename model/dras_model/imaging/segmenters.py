"""A lung segmenter of the user's own in the place of ours, named as `module:function`.

The function takes a `Volume` in the orientation LAS and returns labels (z, y, x): 0 outside, 1 right lung,
2 left lung, 3 trachea and main bronchi. What it loads, weights included, is its own business; what it
returns is checked here and judged by the same quality numbers as ours.
"""

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.lungs import AIRWAY, Segmenter
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


def load_segmenter(name: str) -> Segmenter:
    """Import the function that `module:function` names. Raises SetupRefused SEGMENTER_INVALID."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise SetupRefused(Code.SEGMENTER_INVALID, name=name, reason="name it as module:function")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as fault:
        raise SetupRefused(
            Code.SEGMENTER_INVALID, name=name, reason=f"importing it raised {type(fault).__name__}"
        ) from fault

    def segment(volume: Volume) -> NDArray[np.uint8]:
        try:
            labels = np.asarray(found(volume))
        except Exception as fault:
            raise SetupRefused(
                Code.SEGMENTER_INVALID, name=name, reason=f"it raised {type(fault).__name__}"
            ) from fault
        return _checked(labels, volume, name)

    return segment


def source_sha256(name: str) -> str | None:
    """Return the digest of the file that `module:function` is written in, None where it has none to read.

    What that file imports in turn, and weights that it loads, are its own business and not in the digest.
    """
    try:
        found = importlib.util.find_spec(name.partition(":")[0])
        if found is None or found.origin is None:
            return None
        return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()
    except (ImportError, OSError, ValueError):
        return None


def _checked(labels: NDArray[Any], volume: Volume, name: str) -> NDArray[np.uint8]:
    if labels.shape != volume.grid.shape:
        reason = f"it returned {labels.shape} for a volume of {volume.grid.shape}"
        raise SetupRefused(Code.SEGMENTER_INVALID, name=name, reason=reason)
    if not np.isin(labels, range(AIRWAY + 1)).all():
        reason = f"its labels are not 0 to {AIRWAY}"
        raise SetupRefused(Code.SEGMENTER_INVALID, name=name, reason=reason)
    return np.ascontiguousarray(labels.astype(np.uint8))
