"""A training small enough for a test: six locations of the built-in atlas, eight subjects of textures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.calibration import textures
from dras_model.imaging.atlas import Atlas
from dras_training.recipe import Recipe, load_recipe
from dras_training.store import CaseRecord, PatchStore, pack_bits

N_LOCATIONS, N_SUBJECTS = 6, 8


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # tests run side by side


@pytest.fixture(scope="session")
def few_corners(atlas: Atlas) -> Atlas:
    chosen = np.linspace(0, len(atlas.corners) - 1, N_LOCATIONS).astype(int)
    return replace(atlas, corners=atlas.corners[chosen], sha256="f" * 64)


def fill(
    store: PatchStore, n_subjects: int = N_SUBJECTS, *, hole: tuple[int, int] | None = None
) -> PatchStore:
    """Put textures into a store; `hole` is a subject and a location whose patch is not valid."""
    for subject in range(n_subjects):
        store.write(subject, textures(store.about.n_locations, seed=subject))
        valid = np.ones(store.about.n_locations, dtype=np.bool_)
        if hole is not None and hole[0] == subject:
            valid[hole[1]] = False
        store.record(
            CaseRecord(
                subject=f"subject-{subject}",
                status="stored",
                slot=subject,
                input_sha256=f"{subject}" * 64,
                valid=pack_bits(valid),
            )
        )
    return store


@pytest.fixture(scope="session")
def store(few_corners: Atlas, tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return fill(PatchStore.create(tmp_path_factory.mktemp("store") / "store", few_corners, slots=N_SUBJECTS))


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Of batches of four, two groups of two: 12 steps in an epoch."""
    smoke = load_recipe("smoke")
    return smoke.model_copy(
        update={
            "data": smoke.data.model_copy(update={"location_step": 1}),
            "encoder": EncoderConfig(rep_dim=8, moco_dim=8, num_experts=2),
            "optimisation": smoke.optimisation.model_copy(update={"batch": 4, "epochs": 4}),
            "contrast": smoke.contrast.model_copy(update={"first_keys": "random", "queue": 7}),
            "run": smoke.run.model_copy(update={"checkpoint_steps": 100}),
        }
    )


def changed(recipe: Recipe, **sections: dict[str, object]) -> Recipe:
    """Return the recipe with some values of some sections replaced."""
    update = {name: getattr(recipe, name).model_copy(update=values) for name, values in sections.items()}
    return recipe.model_copy(update=update)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"
