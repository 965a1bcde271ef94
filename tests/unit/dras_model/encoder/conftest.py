"""A small encoder (2 experts), an atlas of a dozen corners, and a bundle of both: made once a session."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.bundle import MANIFEST, Bundle, digests
from dras_model.encoder.calibration import calibrate, textures
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.volume import Grid, LabelMap
from unit.dras_model.encoder.sealing import reseal

CONFIG = EncoderConfig(num_experts=2)
LAS = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)

Spoil: TypeAlias = Callable[..., Path]


@pytest.fixture(scope="session")
def atlas() -> Atlas:
    corners = np.stack(np.meshgrid([1, 3, 5], [2, 8], [0, 9]), axis=-1).reshape(-1, 3).astype(np.int64)
    lungs = LabelMap(np.zeros((40, 40, 40), dtype=np.uint8), Grid((40, 40, 40), LAS))
    return Atlas("dozen", "1", lungs, corners, patch_size=32, patch_step=26, sha256="a" * 64)


@pytest.fixture(scope="session")
def weights(atlas: Atlas) -> EncoderWeights:
    """Random weights whose BatchNorm is far from the identity, as after training."""
    drawn = initialise(CONFIG, seed=11)
    generator = np.random.default_rng(12)
    scattered = {
        name: generator.normal(1.0 if name.endswith("weight") else 0.0, 0.3, array.shape).astype(np.float32)
        for name, array in drawn.parameters.items()
        if "bn" in name and name.endswith(("weight", "bias"))
    }
    return calibrate(drawn.replaced(scattered), textures(12, seed=13), atlas.locations)


@pytest.fixture(scope="session")
def bundle_path(weights: EncoderWeights, atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    create_bundle(
        path,
        weights,
        atlas,
        name="small",
        training=Untrained(seed=11),
        licence="MIT",
        batch=4,
        cuda_batch=4,
    )
    return path


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.load(bundle_path)


@pytest.fixture
def spoil(bundle_path: Path, tmp_path: Path) -> Spoil:
    """Copy the bundle with other contents and other manifest entries, its hashes made to fit."""

    def copy(files: Mapping[str, bytes] | None = None, **manifest: Any) -> Path:
        path = tmp_path / "spoilt"
        shutil.copytree(bundle_path, path)
        entries = json.loads((path / MANIFEST).read_text())
        for name, content in (files or {}).items():
            (path / name).write_bytes(content)
        entries["files"] |= digests(files or {})
        (path / MANIFEST).write_text(json.dumps(entries | manifest))
        reseal(path)
        return path

    return copy
