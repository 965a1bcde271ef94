"""A step of pretraining against the authors' way, and the loader against the step; figures are ratios of one run.

The authors mix kernels and convolve sample by sample (`SampleLoopConvolution`), with PyTorch's BatchNorm. All else
of a step (views, losses, queue, optimiser) is ours in both, which flatters theirs. Variants take turns; medians.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from report import RESULTS, keep
from torch import Tensor, nn

from dras_model.encoder.calibration import textures
from dras_model.encoder.network import EncoderNetwork, SampleLoopConvolution
from dras_model.imaging.atlas import Atlas
from dras_model.library import open_atlas
from dras_training.loading import LoadedBatch, batches
from dras_training.method import Method
from dras_training.pretrain import plan
from dras_training.processes import Group
from dras_training.recipe import Recipe, load_recipe
from dras_training.store import CaseRecord, PatchStore, pack_bits

N_LOCATIONS = 12
N_LOADED = 200


class LoopMethod(Method):
    """The same step around the authors' encoder."""

    def __init__(self, recipe: Recipe, atlas: Atlas) -> None:
        super().__init__(recipe, atlas)
        self.query = EncoderNetwork(recipe.encoder, convolution=SampleLoopConvolution)
        self.key = EncoderNetwork(recipe.encoder, convolution=SampleLoopConvolution).requires_grad_(False)
        self.memory_format = torch.contiguous_format

    def _encode(self, encoder: nn.Module, images: Tensor, locations: tuple[int, ...]) -> Tensor:
        places = self.locations[list(locations)].repeat_interleave(len(images) // len(locations), dim=0)
        projected: Tensor = encoder(images, places).projection
        return projected


def small_atlas() -> Atlas:
    """A few corners of the built-in atlas, so that a store for a benchmark is small."""
    whole = open_atlas()
    corners = whole.corners[np.linspace(0, len(whole.corners) - 1, N_LOCATIONS).astype(int)]
    return replace(whole, corners=corners, sha256="0" * 64)


def make_store(folder: Path, atlas: Atlas, n_subjects: int) -> PatchStore:
    """Fill a store with textures: the content does not matter to the clock."""
    store = PatchStore.create(folder, atlas, slots=n_subjects)
    for slot in range(n_subjects):
        store.write(slot, textures(len(atlas.corners), seed=slot))
        valid = pack_bits(np.ones(len(atlas.corners), dtype=np.bool_))
        store.record(
            CaseRecord(subject=f"{slot}", status="stored", slot=slot, input_sha256=f"{slot}", valid=valid)
        )
    return store


def stepper(method: Method, batch: LoadedBatch, group: Group) -> Callable[[], None]:
    """Return a callable that takes one whole step."""
    optimiser = torch.optim.SGD(method.query.parameters(), 1e-4, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        method.step(batch, group)
        optimiser.step()
        method.commit_statistics()
        if group.device.type == "cuda":
            torch.cuda.synchronize()

    return step


def variants(recipe: Recipe, atlas: Atlas, group: Group) -> dict[str, Method]:
    """Return the ways to measure, the authors' first."""
    reduced = recipe.model_copy(
        update={"optimisation": recipe.optimisation.model_copy(update={"precision": "bfloat16"})}
    )
    ours = {
        "shared kernels, float32, channels last": Method(recipe, atlas),
        "shared kernels, float32, contiguous": Method(recipe, atlas),
        "shared kernels, bfloat16, channels last": Method(reduced, atlas),
        "shared kernels, bfloat16, contiguous": Method(reduced, atlas),
    }
    for name, method in ours.items():
        if name.endswith("contiguous"):
            method.memory_format = torch.contiguous_format
    made = {"sample loop, float32 (the authors' way)": LoopMethod(recipe, atlas), **ours}
    return {name: method.to(group.device) for name, method in made.items()}


def loader_rate(store: PatchStore, recipe: Recipe, atlas: Atlas, workers: int) -> float:
    """Return the patches that arrive in a second where nobody computes on them."""
    schedule = plan(recipe, store, atlas)
    loaded = batches(store, schedule, steps=(0, N_LOADED + 4), workers=workers)
    for _ in range(4):  # processes start
        next(loaded)
    began = time.perf_counter()
    n = sum(batch.patches.shape[0] * batch.patches.shape[1] for batch in loaded)
    return n / (time.perf_counter() - began)


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Return all figures."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    group, atlas = Group(device=torch.device(arguments.device)), small_atlas()
    base = load_recipe("drasclr_copdgene")
    changed = {
        "optimisation": base.optimisation.model_copy(update={"batch": arguments.batch}),
        "normalisation": base.normalisation.model_copy(
            update={"group": min(32, arguments.batch), "kind": "running"}
        ),
        "contrast": base.contrast.model_copy(update={"queue": 1024}),
        "data": base.data.model_copy(update={"location_step": 1}),
    }
    recipe = base.model_copy(update=changed)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), atlas, 2 * arguments.batch)
        batch = next(batches(store, plan(recipe, store, atlas), steps=(0, 1), workers=0))
        steps = {
            name: stepper(method, batch, group) for name, method in variants(recipe, atlas, group).items()
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
        for turn in range(arguments.runs + 1):
            for name, step in steps.items():
                began = time.perf_counter(), time.process_time()
                step()
                took = time.perf_counter() - began[0], time.process_time() - began[1]
                if turn:  # the first turn warms up
                    seconds[name].append(took)
        loaded = {f"{n} loader processes": loader_rate(store, recipe, atlas, n) for n in (0, 1, 2)}
    return figures(seconds, loaded, arguments.batch * (2 + recipe.contrast.neighbours))


def figures(
    seconds: dict[str, list[tuple[float, float]]], loaded: dict[str, float], patches: int
) -> dict[str, object]:
    """Bring the measurements into the form that is kept.

    Seconds of the processor tell the work where others share the machine; seconds of the clock, what a user waits.
    """
    clock, work = (
        {name: statistics.median(took[i] for took in times) for name, times in seconds.items()}
        for i in (0, 1)
    )
    fastest = patches / min(clock.values())
    ratios = {
        kind: {name: next(iter(medians.values())) / median for name, median in medians.items()}
        for kind, medians in (("clock", clock), ("processor", work))
    }
    for name, median in clock.items():
        told = f"{ratios['clock'][name]:5.2f} × by the clock, {ratios['processor'][name]:5.2f} × by the processor"
        print(f"{name:45} {patches / median:8.1f} patches/s  {told}")
    for name, rate in loaded.items():
        print(f"{name:45} {rate:8.1f} patches/s  {rate / fastest:5.1f} × the fastest step")
    return {
        "patches_of_a_step": patches,
        "runs": len(next(iter(seconds.values()))),
        "seconds": {"clock": clock, "processor": work},
        "times_the_authors_way": ratios,
        "loaded_patches_per_s": loaded,
        "loaded_times_the_fastest_step": {name: rate / fastest for name, rate in loaded.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16, help="subjects of a step")
    parser.add_argument("--runs", type=int, default=5, help="counted turns")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "training.json")
    arguments = parser.parse_args()
    figures_ = measure(arguments)
    about = {"device": arguments.device, "batch": arguments.batch, "threads": torch.get_num_threads()}
    keep({**about, "torch": str(torch.__version__), **figures_}, arguments.out)


if __name__ == "__main__":
    main()
