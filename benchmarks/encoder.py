"""How fast patches become embeddings: the served graph beside the authors' loop over samples, in one run.

Each form lives in a process of its own, so that its peak memory is its own; they take turns, so that
other load on the machine falls on all alike. Only ratios within one run mean anything.

    python benchmarks/encoder.py --rounds 5 --batch 16 --batch 64 --json benchmarks/encoder.json
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import PATCH_SIZE, EncoderConfig, layers
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.calibration import calibrate, textures
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.graph import BATCH
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.runtime import Encoder
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.imaging.builtin_atlas import builtin_atlas
from dras_model.imaging.parallel import available_cores

Work: TypeAlias = Callable[[], object]

SEED = 1
LOOP, GROUPED, SERVED = "torch, sample by sample", "torch, grouped", "served graph"
TORCH_BATCH = 16

_work: list[Work] = []  # of this process, put there by `_start`


@dataclass(frozen=True, slots=True)
class Case:
    """One form of the encoder and what it is given; `bundle` where it is served."""

    form: str
    bundle: Path | None
    locations: NDArray[np.float32]  # (n_patches, 3)
    n_experts: int
    threads: int


def main() -> None:
    options = _parse()
    threads = options.threads or available_cores()
    atlas = builtin_atlas()
    locations = np.resize(atlas.locations, (options.patches, 3))
    weights = _weights(locations, n_experts=options.experts)
    with tempfile.TemporaryDirectory() as folder:
        bundles: dict[str, Path | None] = {LOOP: None, GROUPED: None}
        for batch in options.batch or [BATCH]:
            path = bundles[f"{SERVED}, batch {batch}"] = Path(folder) / str(batch)
            create_bundle(
                path,
                weights,
                atlas,
                name="benchmark",
                training=Untrained(seed=SEED),
                licence="MIT",
                batch=batch,
            )
        cases = [Case(form, path, locations, options.experts, threads) for form, path in bundles.items()]
        rows = _take_turns(cases, rounds=options.rounds)
    report = {
        "n_patches": options.patches,
        "n_experts": options.experts,
        "gflop": round(_gflop(options.patches), 1),
        "threads": threads,
        "rounds": options.rounds,
        "machine": platform.machine(),
        "forms": rows,
    }
    _print(report, rows)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--patches", type=int, default=581, help="patches of one study")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: the cores this process may use")
    parser.add_argument(
        "--batch", type=int, action="append", help=f"of the graph, repeatable (default {BATCH})"
    )
    parser.add_argument("--json", type=Path, help="where to keep the result")
    return parser.parse_args()


def _weights(locations: NDArray[np.float32], *, n_experts: int) -> EncoderWeights:
    drawn = initialise(EncoderConfig(num_experts=n_experts), seed=SEED)
    return calibrate(drawn, textures(8, seed=SEED), np.resize(locations, (8, 3)))


def _take_turns(cases: Sequence[Case], *, rounds: int) -> dict[str, dict[str, float]]:
    """Warm every form up once, then time each in turn; seconds are the median of the rounds."""
    spawn = get_context("spawn")
    pools = {case.form: ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(case,)) for case in cases}
    try:
        for pool in pools.values():
            pool.submit(_seconds).result()
        turns = [
            {form: pool.submit(_seconds).result() for form, pool in pools.items()} for _ in range(rounds)
        ]
        peaks = {form: pool.submit(_peak_mb).result() for form, pool in pools.items()}
    finally:
        for pool in pools.values():
            pool.shutdown()
    n_patches = len(cases[0].locations)
    return {
        form: {
            "seconds": round(median(turn[form] for turn in turns), 4),
            "least_seconds": round(min(turn[form] for turn in turns), 4),
            "patches_per_s": round(n_patches / median(turn[form] for turn in turns), 1),
            "times_the_loop": round(median(turn[LOOP] / turn[form] for turn in turns), 2),
            "peak_mb": round(peaks[form]),
        }
        for form in pools
    }


def _start(case: Case) -> None:
    """Run in a fresh process: build one form and keep it ready to be timed."""
    patches = np.resize(textures(16, seed=SEED + 1), (len(case.locations), *[PATCH_SIZE] * 3))
    if case.bundle is not None:
        encoder = Encoder.open(Bundle.load(case.bundle), threads=case.threads)
        _work.append(lambda: encoder.encode(patches, case.locations))
    else:
        _work.append(_torch_work(case, patches))


def _torch_work(case: Case, patches: NDArray[np.int16]) -> Work:
    import torch  # noqa: PLC0415  the served form is measured without it

    from dras_model.encoder import network  # noqa: PLC0415  imports torch

    torch.set_num_threads(case.threads)
    torch.set_grad_enabled(False)
    encoder = network.EncoderNetwork.from_weights(
        _weights(case.locations, n_experts=case.n_experts),
        convolution=network.SampleLoopConvolution if case.form == LOOP else network.ConditionalConvolution,
    )
    images, locations = torch.from_numpy(patches), torch.from_numpy(case.locations)
    batches = [slice(start, start + TORCH_BATCH) for start in range(0, len(images), TORCH_BATCH)]
    return lambda: [encoder.embed(network.normalise(images[part]), locations[part]) for part in batches]


def _seconds() -> float:
    begun = time.perf_counter()
    _work[0]()
    return time.perf_counter() - begun


def _peak_mb() -> float:
    import resource  # noqa: PLC0415  POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _gflop(n_patches: int) -> float:
    chain = layers(EncoderConfig())
    return 2e-9 * n_patches * sum(at.fan_in * at.out_channels * at.out_size**3 for at in chain)


def _print(report: dict[str, object], rows: dict[str, dict[str, float]]) -> None:
    print(f"{report['n_patches']} patches, {report['gflop']} GFLOP, {report['threads']} threads")
    print(f"{'form':28}{'s':>8}{'least':>8}{'patches/s':>11}{'× loop':>8}{'peak MB':>9}")
    for name, row in rows.items():
        numbers = f"{row['seconds']:8.2f}{row['least_seconds']:8.2f}{row['patches_per_s']:11.0f}"
        print(f"{name:28}{numbers}{row['times_the_loop']:8.2f}{row['peak_mb']:9.0f}")


if __name__ == "__main__":
    main()
