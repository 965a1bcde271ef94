"""The authors' files through the commands, as a user has them, to the authors' numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dras_cli.main import main

MAX_DIFFERENCE, MIN_COSINE = 1e-4, 0.999999


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.fixture
def answer(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in a library of its own and return what it says."""
    monkeypatch.setenv("DRAS_LIBRARY", str(place / "library"))

    def run(*arguments: object) -> Any:
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def bundle(answer: Any, place: Path, shared: Path) -> Path:
    """Atlas and checkpoint imported by their commands, once."""
    path = place / "bundle"
    if not path.exists():
        mask, corners = shared / "atlas" / "atlas_lung_mask.nii.gz", shared / "atlas" / "atlas_patch_loc.npy"
        atlas = answer("atlas", "import", "--lung-mask", mask, "--corners", corners)
        assert (atlas["name"], atlas["n_corners"]) == ("drasclr-copdgene", 581)
        golden = shared / "golden"
        checkpoint, configs = golden / "checkpoint_0001.pth.tar", golden / "configs.json"
        made = answer(
            "model", "import-official", checkpoint, "--config", configs, "--atlas", atlas["name"], "-o", path
        )
        assert made["manifest"]["training"]["epoch"] == 1
        assert made["manifest"]["atlas"]["sha256"] == atlas["sha256"]
        assert "module.queue (128 × 4096 × 581)" in made["not_imported"]
    return path


@pytest.mark.parametrize("dtype", [np.int16, np.float32], ids=["int16", "float32 as published"])
def test_the_commands_give_the_authors_embeddings(
    answer: Any, bundle: Path, place: Path, shared: Path, dtype: type
) -> None:
    with np.load(shared / "golden" / "patches.npz") as golden:
        index = golden["index"]
        np.save(place / "patches.npy", golden["patches_hu"].astype(dtype))
        np.save(place / "index.npy", index)
    given = ["--patches", place / "patches.npy", "--index", place / "index.npy"]
    told = answer("model", "encode", bundle, *given, "-o", place / "out.npy")
    assert told["atlas"] == "drasclr-copdgene"
    found = np.load(place / "out.npy")
    assert (found.shape, found.dtype) == ((24, 128), np.float32)
    with np.load(shared / "golden" / "embeddings.npz") as golden:
        expected = golden["h"][index].astype(np.float64)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert np.abs(found - expected).max() <= MAX_DIFFERENCE
    assert ((found * expected).sum(axis=1) / norms).min() >= MIN_COSINE


def test_the_parity_report_of_the_authors_weights_agrees_within_its_tolerance(
    answer: Any, bundle: Path
) -> None:
    report = answer("model", "verify", bundle, "--device", "cpu")
    assert len(report["references"]) == 2
    for row in report["compared"]:
        assert row["verdict"] == "agrees"
        assert row["max_difference"] <= MAX_DIFFERENCE
        assert row["min_cosine"] >= MIN_COSINE
        assert row["limit"]["max_difference"] <= MAX_DIFFERENCE
