"""Times every stage of a whole study, warm, and the resampling against SimpleITK's in the same run.

Prints a table and writes JSON. The study is a phantom of the size asked for, or any that is named.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from dras_model import __version__
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.parallel import available_cores, one_blas_thread
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import write_series
from dras_model.imaging.resampling import resample_box, unit_grid
from dras_model.imaging.study import read_study
from dras_model.library import open_atlas, open_bundle
from dras_model.pipeline import extract

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _options()
    atlas = open_atlas()
    encoder = Encoder.open(open_bundle(None, atlas))
    with tempfile.TemporaryDirectory() as scratch:
        study = options.study or _phantom(Path(scratch) / "study", options.slices, options.matrix)
        runs = []
        for number in range(options.runs + 1):
            out = Path(scratch) / f"out{number}"
            runs.append(extract(study, out, atlas=atlas, encoder=encoder))
        stages = {
            stage: statistics.median(run.timings[stage] for run in runs[1:])  # the first run warms up
            for stage in runs[0].timings
        }
        report = {
            "dras_version": __version__,
            "study_xyz": runs[0].geometry.size_xyz,
            "runs": options.runs,
            "machine": _machine(),
            "median_seconds": {name: value for name, value in stages.items() if name != "peak_rss_mb"},
            "peak_rss_mb": max(run.timings["peak_rss_mb"] for run in runs),
            "resampling": _resampling(study) if options.itk else None,
        }
    _print(report)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, help="a DICOM folder or zip; a phantom without it")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3, help="counted runs, after one that warms up")
    parser.add_argument("--itk", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=RESULTS / "pipeline.json")
    return parser.parse_args()


def _phantom(folder: Path, n_slices: int, matrix: int) -> Path:
    write_series(make_phantom(PhantomSpec(seed=1, n_slices=n_slices, matrix=matrix)).volume, folder)
    return folder


def _resampling(study: Path) -> dict[str, float]:
    """Both ways to 1 mm, whole volume, in this run: seconds, their ratio, and the largest difference."""
    volume = read_study(study).volume
    grid = unit_grid(volume.grid)
    started = time.perf_counter()
    with one_blas_thread():
        ours = resample_box(volume, np.zeros(3, np.int64), np.array(grid.shape))
    ours_s = time.perf_counter() - started
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.grid.spacing_mm[::-1])
    started = time.perf_counter()
    resampled = sitk.Resample(
        image, grid.shape[::-1], sitk.Transform(), sitk.sitkBSpline, (0.0,) * 3, (1.0,) * 3,
        (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), -1024.0,
    )  # fmt: skip
    itk_s = time.perf_counter() - started
    inside = tuple(
        slice(0, int((n - 1) * size)) for n, size in zip(volume.hu.shape, volume.grid.spacing_mm, strict=True)
    )
    difference = float(np.abs(ours - sitk.GetArrayFromImage(resampled))[inside].max())
    return {"ours_s": ours_s, "itk_s": itk_s, "ratio": itk_s / ours_s, "largest_difference_hu": difference}


def _machine() -> dict[str, object]:
    return {
        "processor": platform.machine(),
        "cores": available_cores(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _print(report: dict[str, object]) -> None:
    size_x, size_y, size_z = report["study_xyz"]
    print(f"{size_z} slices of {size_x} x {size_y}, median of {report['runs']} warm runs")
    for stage, seconds in report["median_seconds"].items():
        print(f"  {stage:<14}{seconds:8.2f} s")
    print(f"  {'peak RSS':<14}{report['peak_rss_mb']:8.0f} MB")
    if report["resampling"]:
        figures = report["resampling"]
        print(
            f"  resampling of the whole volume: {figures['ours_s']:.2f} s, SimpleITK {figures['itk_s']:.2f} s,"
            f" {figures['ratio']:.1f} x; largest difference {figures['largest_difference_hu']:.4f} HU"
        )


if __name__ == "__main__":
    main()
