"""How fast patches become embeddings: forms of the served graph beside the authors' loop over samples, in one run.

Each form lives in a process of its own, so that its peak memory is its own; they take turns, so that
other load on the machine falls on all alike. Only ratios within one run mean anything. The floor is what the
convolutions alone would take at the rate at which this device, in the same run, multiplies matrices of 1024².

    python benchmarks/encoder.py --rounds 5 --json benchmarks/results/encoder.json
    python benchmarks/encoder.py --device cuda --form grouped --form unfolded --batch 64 --batch 146 --batch 291 \\
        --tf32 --json benchmarks/results/encoder-cuda.json

The second line is the sweep that chooses form and batch for a GPU; it needs nobody at hand.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder import graph
from dras_model.encoder.architecture import PATCH_SIZE, EncoderConfig, layers
from dras_model.encoder.bundle import GOLDEN, Bundle, digests, write_bundle
from dras_model.encoder.calibration import calibrate, textures
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Device, GraphForm, Limit, Untrained
from dras_model.encoder.runtime import Encoder
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.imaging.builtin_atlas import builtin_atlas
from dras_model.imaging.parallel import available_cores

Work: TypeAlias = Callable[[], object]
Row: TypeAlias = dict[str, Any]

SEED = 1
LOOP, GROUPED, PRODUCT = "torch, sample by sample", "torch, grouped", "matrix product"
TORCH_BATCH = 16
PRODUCTS = 50  # a turn: as long as a short study, so that other load hits it as it hits the forms
SIDE = 1024  # of the matrices; larger ones are no faster on the cores this was written on
LARGEST_TF32_DIFFERENCE = 1.0  # not a tolerance: the benchmark reports what it sees

_work: list[Work] = []  # of this process, put there by `_start`
_seen: Row = {}


@dataclass(frozen=True, slots=True)
class Case:
    """One form of the encoder and what it is given; `bundle` where it is served."""

    label: str
    bundle: Path | None
    locations: NDArray[np.float32]  # (n_patches, 3)
    device: Device
    n_experts: int
    threads: int


def main() -> None:
    options = _parse()
    threads = options.threads or available_cores()
    atlas = builtin_atlas()
    locations = np.resize(atlas.locations, (options.patches, 3))
    weights = _weights(locations, n_experts=options.experts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        training = Untrained(seed=SEED)
        base = create_bundle(path, weights, atlas, name="benchmark", training=training, licence="MIT")
        served = dict(_served(weights, base, options))
        cases = [
            Case(label, served.get(label), locations, options.device, options.experts, threads)
            for label in (LOOP, GROUPED, PRODUCT, *served)
        ]
        rows = _take_turns(cases, rounds=options.rounds, gflop=_gflop(options.patches))
    report = {
        "n_patches": options.patches,
        "n_experts": options.experts,
        "gflop": round(_gflop(options.patches), 1),
        "device": options.device,
        "threads": threads,
        "rounds": options.rounds,
        "machine": platform.machine(),
        "load_before": [round(load, 1) for load in options.load],
        "gflop_per_s_of_matrix_product": rows[PRODUCT]["gflop_per_s"],
        "floor_seconds": rows[PRODUCT]["floor_seconds"],
        "forms": {label: row for label, row in rows.items() if label != PRODUCT},
    }
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--patches", type=int, default=581, help="patches of one study")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: the cores this process may use")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--form", action="append", choices=sorted(graph.PLANS), help="repeatable")
    parser.add_argument("--batch", type=int, action="append", help="of the graph, repeatable")
    parser.add_argument("--tf32", action="store_true", help="on CUDA, try each form with TF32 as well")
    parser.add_argument("--json", type=Path, help="where to keep the result")
    options = parser.parse_args()
    on_cpu = options.device == "cpu"
    options.form = options.form or (["grouped", "blocked"] if on_cpu else ["grouped", "unfolded"])
    options.batch = options.batch or [graph.BATCH if on_cpu else graph.CUDA_BATCH]
    options.load = os.getloadavg()
    return options


def _weights(locations: NDArray[np.float32], *, n_experts: int) -> EncoderWeights:
    drawn = initialise(EncoderConfig(num_experts=n_experts), seed=SEED)
    return calibrate(drawn, textures(8, seed=SEED), np.resize(locations, (8, 3)))


def _served(weights: EncoderWeights, base: Bundle, options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Write a bundle for each form, batch and precision beside `base`; yield what it is called and where it is."""
    precisions = (False, True) if options.tf32 and options.device == "cuda" else (False,)
    for name, batch, tf32 in itertools.product(options.form, options.batch, precisions):
        label = f"{name}, batch {batch}{', TF32' if tf32 else ''}"
        content = graph.build(weights, form=name, batch=batch).SerializeToString()
        form = GraphForm(
            opset=graph.OPSET,
            ir_version=graph.IR_VERSION,
            batch=batch,
            form=name,
            channel_block=graph.PLANS[name].channel_block,
        )
        files = {GOLDEN: base.read(GOLDEN), form.file: content}
        changes: Row = {"graph": form, "provider_graphs": {}, "files": digests(files)}
        if tf32:
            wide = Limit(max_difference=LARGEST_TF32_DIFFERENCE, min_cosine=0.0, tf32=True)
            changes["tolerance"] = base.manifest.tolerance.model_copy(update={"providers": {"cuda": wide}})
        path = base.path.parent / label.replace(", ", "-").replace(" ", "-")
        write_bundle(path, base.manifest.model_copy(update=changes), files=files)
        yield label, path


def _take_turns(cases: Sequence[Case], *, rounds: int, gflop: float) -> dict[str, Row]:
    """Warm every form up once, then time each in turn; seconds are the median of the rounds."""
    spawn = get_context("spawn")
    pools = {
        case.label: ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(case,)) for case in cases
    }
    try:
        for pool in pools.values():
            pool.submit(_seconds).result()
        both = [
            {label: pool.submit(_seconds).result() for label, pool in pools.items()} for _ in range(rounds)
        ]
        seen = {label: pool.submit(_what_was_seen).result() for label, pool in pools.items()}
    finally:
        for pool in pools.values():
            pool.shutdown()
    turns = [{label: wall for label, (wall, _) in turn.items()} for turn in both]
    counted = 2e-9 * SIDE**3 * PRODUCTS
    rate = median(counted / turn[PRODUCT] for turn in turns)
    rows: dict[str, Row] = {PRODUCT: {"gflop_per_s": round(rate), "floor_seconds": round(gflop / rate, 4)}}
    for case in cases:
        if case.label == PRODUCT:
            continue
        seconds = median(turn[case.label] for turn in turns)
        rows[case.label] = {
            "seconds": round(seconds, 4),
            "least_seconds": round(min(turn[case.label] for turn in turns), 4),
            "processor_seconds": round(median(turn[case.label][1] for turn in both), 4),
            "patches_per_s": round(len(case.locations) / seconds, 1),
            "studies_per_h": round(3600 / seconds),
            "times_the_loop": round(median(turn[LOOP] / turn[case.label] for turn in turns), 2),
            # Paired by turn, as the ratio to the loop is: the rate of the machine varies with its load.
            "share_of_ceiling": round(
                median(gflop * turn[PRODUCT] / counted / turn[case.label] for turn in turns), 3
            ),
            **seen[case.label],
        }
    return rows


def _start(case: Case) -> None:
    """Run in a fresh process: build one form and keep it ready to be timed."""
    patches = np.resize(textures(16, seed=SEED + 1), (len(case.locations), *[PATCH_SIZE] * 3))
    if case.bundle is not None:
        bundle = Bundle.load(case.bundle)
        _seen["weights_mb"] = round((case.bundle / bundle.manifest.graph.file).stat().st_size / 2**20)
        _seen["before_mb"] = round(_now_mb())
        encoder = Encoder.open(bundle, device=case.device, threads=case.threads)
        golden = bundle.golden
        found = encoder.encode(golden.patches, golden.locations)
        _seen["drift"] = float(np.abs(found - golden.embeddings).max())
        _work.append(lambda: encoder.encode(patches, case.locations))
    elif case.label == PRODUCT:
        _work.append(_product(case))
    else:
        _work.append(_torch_work(case, patches))


def _product(case: Case) -> Work:
    """A product of square matrices: by the runtime's own kernel on a CPU, by PyTorch on a GPU."""
    factor = np.random.default_rng(SEED).normal(size=(SIDE, SIDE)).astype(np.float32)
    if case.device == "cuda":
        import torch  # noqa: PLC0415  the served form is measured without it

        on_device = torch.from_numpy(factor).cuda()

        def multiply() -> None:
            for _ in range(PRODUCTS):
                on_device @ on_device
            torch.cuda.synchronize()

        return multiply
    import onnxruntime  # noqa: PLC0415
    from onnx import TensorProto, helper  # noqa: PLC0415

    shape = [SIDE, SIDE]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc"]
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    opsets = [helper.make_opsetid("", graph.OPSET)]
    model = helper.make_model(helper.make_graph([node], "g", ends[:2], ends[2:]), opset_imports=opsets)
    model.ir_version = graph.IR_VERSION
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: [session.run(None, {"a": factor, "b": factor}) for _ in range(PRODUCTS)]


def _torch_work(case: Case, patches: NDArray[np.int16]) -> Work:
    import torch  # noqa: PLC0415  the served form is measured without it

    from dras_model.encoder import network  # noqa: PLC0415  imports torch

    torch.set_num_threads(case.threads)
    torch.set_grad_enabled(False)
    encoder = network.EncoderNetwork.from_weights(
        _weights(case.locations, n_experts=case.n_experts),
        convolution=network.SampleLoopConvolution if case.label == LOOP else network.ConditionalConvolution,
    ).to(case.device)
    batches = [slice(start, start + TORCH_BATCH) for start in range(0, len(patches), TORCH_BATCH)]

    def encode() -> None:
        images, locations = torch.from_numpy(patches), torch.from_numpy(case.locations)
        for part in batches:
            here = images[part].to(case.device), locations[part].to(case.device)
            encoder.embed(network.normalise(here[0]), here[1]).cpu()  # as the served form: back on the host

    return encode


def _seconds() -> tuple[float, float]:
    """Wall seconds and processor seconds of one turn; the second is what a busy machine changes least."""
    begun, used = time.perf_counter(), time.process_time()
    _work[0]()
    return time.perf_counter() - begun, time.process_time() - used


def _what_was_seen() -> Row:
    """Peak memory; where a graph is served also what it needed above the process and its weights."""
    peak = round(_peak_mb())
    if "before_mb" not in _seen:
        return {"peak_mb": peak}
    above = peak - _seen["before_mb"] - _seen["weights_mb"]
    return {"peak_mb": peak, "above_weights_mb": above, "drift": _seen["drift"]}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _now_mb() -> float:
    """Resident memory at this moment; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _gflop(n_patches: int) -> float:
    chain = layers(EncoderConfig())
    return 2e-9 * n_patches * sum(at.fan_in * at.out_channels * at.out_size**3 for at in chain)


def _print(report: Row) -> None:
    print(
        f"{report['n_patches']} patches, {report['gflop']} GFLOP, {report['device']}, {report['threads']} threads"
    )
    print(f"floor {report['floor_seconds']} s at {report['gflop_per_s_of_matrix_product']} GFLOP/s")
    heads = f"{'s':>8}{'least':>8}{'cpu s':>8}{'patches/s':>11}{'studies/h':>11}{'× loop':>8}{'ceiling':>9}"
    print(f"{'form':28}{heads}{'peak MB':>9}{'above':>7}{'drift':>9}")
    for label, row in report["forms"].items():
        numbers = f"{row['seconds']:8.3f}{row['least_seconds']:8.3f}{row['processor_seconds']:8.3f}"
        numbers += f"{row['patches_per_s']:11.0f}{row['studies_per_h']:11}{row['times_the_loop']:8.2f}"
        numbers += f"{row['share_of_ceiling']:9.1%}{row['peak_mb']:9}{row.get('above_weights_mb', ''):>7}"
        print(f"{label:28}{numbers}{format(row['drift'], '9.1e') if 'drift' in row else ''}")


if __name__ == "__main__":
    main()
