"""Pretraining on a CUDA device: skipped, by name, where PyTorch finds none."""

import numpy as np
import pytest
import torch

from dras_training.augmentation import apply, draw
from dras_training.loading import LoadedBatch
from dras_training.method import Method
from dras_training.processes import Group
from dras_training.recipe import Augmentation, load_recipe
from dras_training.sampling import BatchKey

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device here"),
]


def test_views_on_cuda_are_those_on_the_cpu_but_for_the_noise() -> None:
    recipe = Augmentation(noise_probability=0.0, flip_probability=0.5, elastic_voxels=1.0)
    patches = torch.from_numpy(np.random.default_rng(0).integers(-1024, 240, (8, 32, 32, 32), dtype=np.int16))
    draws = draw(8, recipe, torch.Generator().manual_seed(1))
    on_cpu, on_cuda = (apply(patches.to(device), draws, noise_hu=50.0).cpu() for device in ("cpu", "cuda"))
    torch.testing.assert_close(on_cuda, on_cpu, atol=0.5, rtol=0)


def test_an_encoder_in_training_gives_on_cuda_what_it_gives_on_the_cpu(atlas) -> None:
    method = Method(load_recipe("smoke"), atlas)
    images = torch.rand(8, 1, 32, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = method.query(images, method.locations[[0, 3]]).projection
        method = method.to("cuda")
        found = method.query(images.to("cuda"), method.locations[[0, 3]]).projection.cpu()
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=1e-2)


def test_a_step_on_cuda_leaves_a_finite_loss_in_either_precision(atlas) -> None:
    recipe = load_recipe("smoke")
    for precision in ("float32", "bfloat16"):
        chosen = recipe.model_copy(
            update={"optimisation": recipe.optimisation.model_copy(update={"precision": precision})}
        )
        group = Group(device=torch.device("cuda"))
        method = Method(chosen, atlas).to(group.device)
        patches = torch.randint(-1024, 240, (2, 3, 32, 32, 32), dtype=torch.int16)
        measured = method.step(
            LoadedBatch(BatchKey(0, 5, (4, 6), *[(0, 1)] * 3), patches, patches[:, 0]), group
        )
        torch.cuda.synchronize()
        assert torch.isfinite(measured).all(), precision
