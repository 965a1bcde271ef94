"""Harmonisation against truth and clock: kernel x noise x fraction on phantoms, and seconds for a whole study.

Truth is the noise-free phantom through the reference kernel, counted; the planted fraction stands beside it. The
kernel "bump" had no part in making the method, the others had. Prints a table and writes JSON.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from dras_model.imaging.parallel import available_cores, one_blas_thread
from dras_model.imaging.phantom import Emphysema, Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom.reconstruction import KERNELS, Reconstruction, blurred, reconstruct
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.volume import Volume
from dras_model.scores.harmonisation import harmonise
from dras_model.scores.harmonisation.bands import reference_kernel

RESULTS = Path(__file__).parent / "results"
PIXEL_MM, SLICE_MM = 0.75, 1.0
NOISES_HU = (10.0, 25.0, 50.0)  # of the soft kernel
PARENCHYMA_HU, EMPHYSEMA_HU = 15.0, 5.0  # raised by; to -866 and -975 to -995
DISEASES = (
    (EmphysemaKind.NONE, 0.0),
    (EmphysemaKind.CENTRILOBULAR, 0.01),
    (EmphysemaKind.CENTRILOBULAR, 0.02),
    (EmphysemaKind.PARASEPTAL, 0.05),
    (EmphysemaKind.CENTRILOBULAR, 0.10),
    (EmphysemaKind.PANLOBULAR, 0.20),
    (EmphysemaKind.PANLOBULAR, 0.40),
)


def main() -> None:
    options = _options()
    cells = [
        cell
        for seed, (kind, fraction) in enumerate(DISEASES, start=options.seed)
        for cell in _cells(seed, kind, fraction, options)
    ]
    report = {
        "cells": cells,
        "whole_study": _timing(options) if options.runs else None,
        "cores": available_cores(),
        "load_average": os.getloadavg()[0],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", nargs="+", choices=list(KERNELS), default=list(KERNELS))
    parser.add_argument("--seed", type=int, default=40)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3, help="timed runs of 300 slices; 0 for none")
    parser.add_argument("--out", type=Path, default=RESULTS / "harmonisation.json")
    return parser.parse_args()


def _phantom(seed: int, kind: EmphysemaKind, fraction: float, n_slices: int) -> tuple[Phantom, np.ndarray]:
    """Return a phantom, and its Hounsfield units with denser parenchyma and emphysema than it is drawn with."""
    spec = PhantomSpec(
        seed=seed, n_slices=n_slices, slice_mm=SLICE_MM, noise_hu=0.0, emphysema=Emphysema(kind, fraction)
    )
    phantom = make_phantom(spec)
    exact, lung = phantom.truth.hu.astype(np.float32), phantom.truth.lungs.labels > 0
    exact[lung & ~phantom.truth.emphysema & (exact < -700)] += PARENCHYMA_HU
    exact[phantom.truth.emphysema] += EMPHYSEMA_HU
    return phantom, exact


def _cells(
    seed: int, kind: EmphysemaKind, fraction: float, options: argparse.Namespace
) -> list[dict[str, object]]:
    phantom, exact = _phantom(seed, kind, fraction, options.slices)
    lungs, grid = phantom.truth.lungs, phantom.volume.grid
    inside = lungs.labels > 0

    def figures(hu: np.ndarray) -> tuple[float, float]:
        return 100.0 * float(np.mean(hu[inside] <= -950.0)), float(np.percentile(hu[inside], 15.0))

    truth = figures(blurred(exact, PIXEL_MM, reference_kernel))
    cells = []
    for kernel in options.kernels:
        for noise_hu in NOISES_HU:
            scan = Volume(reconstruct(exact, PIXEL_MM, Reconstruction(kernel, noise_hu), seed=seed), grid)
            found = harmonise(scan, lungs)
            raw, own = figures(scan.hu), None if found.volume is None else figures(found.volume.hu)
            cell = {
                "kind": kind.value, "planted_percent": 100.0 * fraction, "kernel": kernel, "noise_hu": noise_hu,
                "truth": truth, "raw": raw, "harmonised": own, "limit": found.limit,
            }  # fmt: skip
            cells.append(cell)
            _print(cell)
    return cells


def _print(cell: dict[str, object]) -> None:
    truth, raw, own = cell["truth"], cell["raw"], cell["harmonised"]
    line = (
        f"{cell['kind']:<14}{cell['planted_percent']:5.0f} %  {cell['kernel']:<9}{cell['noise_hu']:4.0f} HU"
    )
    line += f"  LAA-950 truth {truth[0]:6.2f} raw {raw[0]:6.2f}"
    if own is None:
        print(f"{line}  withheld: {cell['limit']}")
        return
    error = f"{100.0 * (own[0] / truth[0] - 1.0):+6.1f} %" if truth[0] > 0.05 else "      -"
    print(
        f"{line} harmonised {own[0]:6.2f} {error}  Perc15 {truth[1]:.0f} raw {raw[1]:.0f} harmonised {own[1]:.0f}"
    )


def _timing(options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a study of 300 slices, and the same against one pass of a Gaussian filter over it."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - a yardstick of this run alone

    phantom, exact = _phantom(options.seed, EmphysemaKind.NONE, 0.0, 300)
    scan = Volume(reconstruct(exact, PIXEL_MM, Reconstruction("lung", 10.0)), phantom.volume.grid)
    ours, yardstick = [], []
    with one_blas_thread():
        for _ in range(options.runs + 1):
            started = time.perf_counter()
            harmonise(scan, phantom.truth.lungs)
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            gaussian_filter(scan.hu, 1.0)
            yardstick.append(time.perf_counter() - started)
    seconds, filter_s = (statistics.median(runs[1:]) for runs in (ours, yardstick))
    print(
        f"300 slices of 512 x 512: {seconds:.2f} s, {seconds / filter_s:.2f} x one Gaussian filter of the scan"
    )
    return {"seconds": seconds, "gaussian_filter_s": filter_s, "ratio": seconds / filter_s}


if __name__ == "__main__":
    main()
