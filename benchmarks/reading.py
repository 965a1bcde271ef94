"""Times the reading of a study in every transfer syntax, in the process of its own that the product uses.

Prints a table and writes JSON: seconds a syntax (medians of interleaved runs), also of processor time over all
processes, the ratio to the reading of uncompressed slices, and what the process itself adds to reading here.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from report import keep, options_of_size

from dras_model.imaging.loading import load_study
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.reading.parent import read_elsewhere
from dras_model.results.errors import StudyRefused

SYNTAXES = (
    ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEGLSLossless,
    JPEG2000Lossless,
)  # fmt: skip
BUDGET_S = {ExplicitVRLittleEndian: 2.0, JPEGLosslessSV1: 6.0}  # for 300 slices of 512 x 512 on two cores
IN_THIS_PROCESS, NOTHING = "uncompressed, in this process", "an empty folder"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        ways = _ways(Path(scratch), options)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
        peaks_mb: dict[str, float] = {}
        for _ in range(options.runs + 1):
            for name, read in ways.items():
                started, cpu_started = time.perf_counter(), _cpu_s()
                peaks_mb[name] = read()
                seconds[name].append(time.perf_counter() - started)
                cpu_seconds[name].append(_cpu_s() - cpu_started)
    medians = {name: statistics.median(found[1:]) for name, found in seconds.items()}  # the first warms up
    cpu_medians = {name: statistics.median(found[1:]) for name, found in cpu_seconds.items()}
    plain = medians[ExplicitVRLittleEndian.name]
    report = {
        "study_xyz": (options.matrix, options.matrix, options.slices),
        "runs": options.runs,
        "median_seconds": medians,
        "median_cpu_seconds": cpu_medians,
        "ratio_to_uncompressed": {name: value / plain for name, value in medians.items()},
        "budget_seconds": {syntax.name: budget for syntax, budget in BUDGET_S.items()},
        "reader_peak_rss_mb": max(peaks_mb.values()),
    }
    _print(report)
    keep(report, options.out)


def _options() -> argparse.Namespace:
    parser = options_of_size(__doc__, "reading")
    parser.add_argument("--syntax", action="append", metavar="UID", help="measure these alone")
    return parser.parse_args()


def _ways(scratch: Path, options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """Write the study in each syntax and return what reads it, by name."""
    spec = PhantomSpec(seed=1, n_slices=options.slices, matrix=options.matrix, noise_hu=15.0)
    volume = make_phantom(spec).volume
    named = {ExplicitVRLittleEndian, *map(UID, options.syntax or SYNTAXES)}
    ways: dict[str, Callable[[], float]] = {}
    for syntax in sorted(named, key=lambda uid: (uid != ExplicitVRLittleEndian, uid)):
        folder = scratch / syntax
        write_series(volume, folder, SeriesOptions(transfer_syntax=syntax))
        ways[syntax.name] = lambda folder=folder: read_elsewhere(folder, voxels=True).header.peak_rss_mb
    ways[IN_THIS_PROCESS] = lambda: 0.0 * load_study(scratch / ExplicitVRLittleEndian).volume.grid.n_voxels
    empty = scratch / "empty"
    empty.mkdir()
    ways[NOTHING] = lambda: _refused(empty)
    return ways


def _refused(folder: Path) -> float:
    with suppress(StudyRefused):
        read_elsewhere(folder, voxels=True)
    return 0.0


def _cpu_s() -> float:
    """Processor time of this process and of those that have ended; other load on the machine adds little."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _print(report: dict[str, object]) -> None:
    size_x, size_y, size_z = report["study_xyz"]
    print(f"{size_z} slices of {size_x} x {size_y}, median of {report['runs']} warm runs")
    for name, seconds in report["median_seconds"].items():
        budget = report["budget_seconds"].get(name)
        told = "" if budget is None else f"   budget {budget:.0f} s"
        cpu_s, ratio = report["median_cpu_seconds"][name], report["ratio_to_uncompressed"][name]
        print(f"  {name[:40]:<42}{seconds:7.2f} s {cpu_s:7.2f} s of processor {ratio:7.2f} x{told}")
    print(f"  largest reading process {report['reader_peak_rss_mb']:.0f} MB")


if __name__ == "__main__":
    main()
