"""Times every stage of a whole study, warm, and takes its peak memory.

Prints a table and writes JSON. The study is a phantom of the size asked for, or any that is named.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from report import keep, options_of_size

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import write_series
from dras_model.library import open_atlas, open_bundle
from dras_model.pipeline import extract


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
            "study_xyz": runs[0].geometry.size_xyz,
            "runs": options.runs,
            "median_seconds": {name: value for name, value in stages.items() if name != "peak_rss_mb"},
            "peak_rss_mb": max(run.timings["peak_rss_mb"] for run in runs),
        }
    _print(report)
    keep(report, options.out)


def _options() -> argparse.Namespace:
    parser = options_of_size(__doc__, "pipeline")
    parser.add_argument("--study", type=Path, help="a DICOM folder or zip; a phantom without it")
    return parser.parse_args()


def _phantom(folder: Path, n_slices: int, matrix: int) -> Path:
    write_series(make_phantom(PhantomSpec(seed=1, n_slices=n_slices, matrix=matrix)).volume, folder)
    return folder


def _print(report: dict[str, object]) -> None:
    size_x, size_y, size_z = report["study_xyz"]
    print(f"{size_z} slices of {size_x} x {size_y}, median of {report['runs']} warm runs")
    for stage, seconds in report["median_seconds"].items():
        print(f"  {stage:<14}{seconds:8.2f} s")
    print(f"  {'peak RSS':<14}{report['peak_rss_mb']:8.0f} MB")


if __name__ == "__main__":
    main()
