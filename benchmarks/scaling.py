"""Time and peak memory of whole studies of 100 to 2,000 slices: neither may grow faster than the voxels.

Each size runs in a process of its own, so that its peak memory is its own; a small study warms it up. The
studies show one phantom, interpolated to more and more slices over the same 300 mm. Writes JSON and a plot.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report import keep

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import write_series
from dras_model.imaging.volume import Grid, Volume
from dras_model.library import open_atlas, open_bundle
from dras_model.pipeline import extract

HERE = Path(__file__).parent
RESULT, PLOT = HERE / "results" / "scaling.json", HERE.parent / "docs" / "images" / "scaling.png"
SIZES = (100, 200, 300, 500, 700, 1000, 1500, 2000)
MATRIX, COVERAGE_MM, DRAWN_SLICES = 512, 300.0, 300
LIMITS = {300: (10.0, 2048.0), 1000: (30.0, 4096.0)}  # slices: seconds and MB that are asked for
WARM_UP = 100


@dataclass(frozen=True)
class Measured:
    """One size: seconds a stage and in all, and the most memory that was resident."""

    n_slices: int
    seconds: float
    peak_rss_mb: float
    stages: dict[str, float]


def main() -> None:
    options = _options()
    if options.one:
        print(json.dumps(_run(options.one, options.warm_up, options.runs)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        drawn = make_phantom(PhantomSpec(seed=1, n_slices=DRAWN_SLICES, matrix=MATRIX)).volume
        warm_up = _study(drawn, WARM_UP, Path(scratch) / "warm-up")
        measured = [_measure(drawn, n, warm_up, Path(scratch), options.runs) for n in options.sizes]
    report = {
        "matrix": MATRIX,
        "growth_exponent": _exponent(measured),
        "sizes": [asdict(one) for one in measured],
    }
    keep(report, options.out)
    _plot(measured, options.plot)
    _print(measured, report["growth_exponent"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of slices")
    parser.add_argument("--runs", type=int, default=1, help="counted runs of each size; the fastest counts")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--scratch", type=Path, help="where studies are written; the temporary folder")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # what a process of its own runs
    parser.add_argument("--warm-up", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _study(drawn: Volume, n_slices: int, folder: Path) -> Path:
    """Write the drawn scan as `n_slices` slices over the same height, interpolated linearly."""
    positions = np.linspace(0.0, len(drawn.hu) - 1.0, n_slices)
    below = np.minimum(positions.astype(int), len(drawn.hu) - 2)
    part = (positions - below).astype(np.float32)[:, None, None]
    hu = np.empty((n_slices, *drawn.hu.shape[1:]), dtype=np.float32)
    for plane, low, weight in zip(hu, below, part, strict=True):
        plane[:] = np.rint(drawn.hu[low] * (1 - weight) + drawn.hu[low + 1] * weight)
    affine = drawn.grid.affine.copy()
    affine[:3, 0] *= (len(drawn.hu) - 1.0) / (n_slices - 1.0)
    write_series(Volume(hu, Grid((n_slices, *drawn.grid.shape[1:]), affine)), folder)
    return folder


def _measure(drawn: Volume, n_slices: int, warm_up: Path, scratch: Path, runs: int) -> Measured:
    study = _study(drawn, n_slices, scratch / "study")
    command = [sys.executable, __file__, "--one", str(study), "--warm-up", str(warm_up), "--runs", str(runs)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for file in study.iterdir():
        file.unlink()
    stages = json.loads(told.splitlines()[-1])
    return Measured(n_slices, stages.pop("total"), stages.pop("peak_rss_mb"), stages)


def _run(study: Path, warm_up: Path, runs: int) -> dict[str, float]:
    """Timings of the fastest of some warm runs in this process, with the largest peak memory of all."""
    atlas = open_atlas()
    encoder = Encoder.open(open_bundle(None, atlas))
    with tempfile.TemporaryDirectory() as scratch:
        extract(warm_up, Path(scratch) / "warm-up", atlas=atlas, encoder=encoder)
        timings = [
            extract(study, Path(scratch) / str(run), atlas=atlas, encoder=encoder).timings
            for run in range(runs)
        ]
    fastest = min(timings, key=lambda one: one["total"])
    return {**fastest, "peak_rss_mb": max(one["peak_rss_mb"] for one in timings)}


def _exponent(measured: list[Measured]) -> float | None:
    """Slope of log time over log slices: 1 is proportional, below 1 grows more slowly than the voxels."""
    if len(measured) < 2:
        return None
    sizes, seconds = ([getattr(one, name) for one in measured] for name in ("n_slices", "seconds"))
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _plot(measured: list[Measured], path: Path) -> None:
    """Time and memory over the number of slices, with what is asked for and a proportional line."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    sizes = [one.n_slices for one in measured]
    for place, (name, label) in enumerate((("seconds", "seconds"), ("peak_rss_mb", "peak memory, MB"))):
        axes = figure.add_subplot(1, 2, place + 1)
        values = [getattr(one, name) for one in measured]
        axes.plot(sizes, values, "o-", label="measured")
        proportional = [values[0] * size / sizes[0] for size in sizes]
        axes.plot(sizes, proportional, ":", color="grey", label="proportional to the voxels")
        axes.plot(list(LIMITS), [limit[place] for limit in LIMITS.values()], "rv", label="asked for")
        axes.set(xlabel=f"slices of {MATRIX} x {MATRIX}", ylabel=label)
        axes.set_ylim(0, 1.15 * max(*values, *(limit[place] for limit in LIMITS.values())))
        axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _print(measured: list[Measured], exponent: float | None) -> None:
    for one in measured:
        seconds, memory = LIMITS.get(one.n_slices, (None, None))
        asked = f"   asked: {seconds:.0f} s, {memory:.0f} MB" if seconds else ""
        print(f"{one.n_slices:6d} slices {one.seconds:8.2f} s {one.peak_rss_mb:8.0f} MB{asked}")
    if exponent is not None:
        print(f"time grows with the number of voxels to the power {exponent:.2f}")


if __name__ == "__main__":
    main()
