"""Times the outputs of a study as the product writes them: all of a run at once, then each form alone.

`run` is what `dras extract --dicom --view` does with a result in memory: default outputs, the copy to look at,
the DICOM objects of the series that was read, `result.json`; and the forms that are made on request. `alone` is
the same in parts. `stored` is `dras export` of a result on disk, which reads the headers of the source again,
in a process of their own. Times are those of the clock and of the processor, children included: on a busy
machine the clock tells of the others. The study is a phantom of the size asked for; every run writes into new
folders of the machine's temporary place.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from report import keep, options_of_size

from dras_model.choices import Choices
from dras_model.encoder.runtime import Encoder
from dras_model.exporting import export
from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.phantom_dicom import write_series
from dras_model.imaging.source_series import SourceSeries
from dras_model.library import open_atlas, open_bundle
from dras_model.outputs.dicom.parametric_map import MAP, write_parametric_map
from dras_model.outputs.dicom.segmentation import SEG, write_seg
from dras_model.outputs.dicom.structured_report import SR, write_sr
from dras_model.outputs.exports import DEFAULTS, EXPORTS, write_exports
from dras_model.outputs.extraction import Extraction, write_all, write_images, write_result
from dras_model.outputs.masks import Masks
from dras_model.outputs.view import take_view, write_view
from dras_model.pipeline import encode, finish
from dras_model.preparing import prepare

T = TypeVar("T")
Times = dict[str, list[tuple[float, float]]]  # seconds on the clock and of the processor
BOUND_S = 3.0  # of all outputs of a run together, on two cores


def main() -> None:
    options = options_of_size(__doc__, "outputs").parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = _measured(options, Path(scratch))
    _print(report)
    keep(report, options.out)


def _measured(options: argparse.Namespace, scratch: Path) -> dict[str, object]:
    study = _phantom(scratch / "study", options.slices, options.matrix)
    atlas = open_atlas()
    encoder = Encoder.open(open_bundle(None, atlas))
    prepared = prepare(study, atlas=atlas, choices=Choices(dicom=True))
    extraction = finish(
        prepared, encode(prepared, atlas=atlas, encoder=encoder), atlas=atlas, encoder=encoder
    )
    times: dict[str, Times] = {"run": {}, "alone": {}, "stored": {}}
    for number in range(options.runs + 1):
        out = scratch / f"out{number}"
        _time_run(times["run"], extraction, prepared.header.source, out)
        _time_parts(times["alone"], extraction, prepared.header.source, scratch / f"alone{number}")
        _time_exports(times["stored"], out, study, scratch / f"stored{number}")
    clock, processor = (_medians(times, which) for which in (0, 1))
    return {
        "study_xyz": extraction.result.geometry.size_xyz,
        "runs": options.runs,
        "bound_seconds": BOUND_S,
        "all_seconds": sum(clock["run"].values()),
        "all_processor_seconds": sum(processor["run"].values()),
        "median_seconds": clock,
        "median_processor_seconds": processor,
        "bytes": _sizes(scratch / f"out{options.runs}"),
    }


def _time_run(into: Times, extraction: Extraction, series: SourceSeries | None, out: Path) -> None:
    """Write everything that there is of a run, once."""

    def extract() -> None:
        write_all(extraction, out, series=series, view=True)
        write_result(extraction.result, out)

    out.mkdir()
    _timed(into, "as `dras extract --dicom --view`", extract)
    on_request = [
        name for name in EXPORTS if name not in (*DEFAULTS, "masks") and not EXPORTS[name].needs_source
    ]
    stored = extraction.stored(out)
    _timed(into, "on request", lambda: write_exports(on_request, stored, out))


def _time_parts(into: Times, extraction: Extraction, series: SourceSeries | None, out: Path) -> None:
    out.mkdir()
    stored = _timed(into, "arrays in native order", lambda: extraction.stored(out))
    masks = Masks(stored.lungs, stored.low_attenuation)
    _timed(into, "masks and pictures", lambda: write_images(
        out, told=extraction.result, volume=extraction.volume, lungs=extraction.lungs,
        patches=extraction.patches, masks=masks,
    ))  # fmt: skip
    low = masks.low_attenuation.oriented(extraction.lungs.grid.orientation)
    _timed(into, "view", lambda: write_view(out, take_view(extraction.volume, extraction.lungs, low)))
    for name, form in EXPORTS.items():
        if not form.needs_source and name != "masks":
            _timed(into, name, lambda n=name: write_exports([n], stored, out))
    if series is not None:
        _timed(into, "sr", lambda: write_sr(out / SR, stored.result, series))
        _timed(into, "seg", lambda: write_seg(out / SEG, stored, series))
        _timed(into, "map", lambda: write_parametric_map(out / MAP, stored, series))


def _time_exports(into: Times, result: Path, study: Path, out: Path) -> None:
    for name, form in EXPORTS.items():
        source = study if form.needs_source else None
        _timed(into, name, lambda n=name, s=source: export(result, out / n, forms=[n], source=s))


def _medians(seconds: dict[str, Times], which: int) -> dict[str, dict[str, float]]:
    """Return the medians of the warm runs; the first run warms up."""
    return {
        where: {name: statistics.median(time[which] for time in times[1:]) for name, times in each.items()}
        for where, each in seconds.items()
    }


def _timed(into: Times, name: str, work: Callable[[], T]) -> T:
    started, busy = time.perf_counter(), _processor_seconds()
    done = work()
    into.setdefault(name, []).append((time.perf_counter() - started, _processor_seconds() - busy))
    return done


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _sizes(folder: Path) -> dict[str, int]:
    return {
        entry.name: sum(
            f.stat().st_size for f in ([entry] if entry.is_file() else entry.rglob("*")) if f.is_file()
        )
        for entry in sorted(folder.iterdir())
    }


def _phantom(folder: Path, n_slices: int, matrix: int) -> Path:
    emphysema = Emphysema(EmphysemaKind.CENTRILOBULAR, 0.1)
    spec = PhantomSpec(seed=1, n_slices=n_slices, matrix=matrix, noise_hu=20.0, emphysema=emphysema)
    write_series(make_phantom(spec).volume, folder)
    return folder


def _print(report: dict[str, object]) -> None:
    x, y, z = report["study_xyz"]
    print(f"{z} slices of {x} x {y}, median of {report['runs']} warm runs, on the clock and of the processor")
    clock, processor = report["median_seconds"], report["median_processor_seconds"]
    for where, each in clock.items():
        print(f" {where}")
        for name, seconds in each.items():
            print(f"  {name:<28}{seconds:10.3f} s{processor[where][name]:10.3f} s")
    print(
        f" all outputs of a run: {report['all_seconds']:.2f} s, {report['all_processor_seconds']:.2f} s of the"
        f" processor; at most {BOUND_S:.0f} s"
    )
    for name, size in report["bytes"].items():
        print(f"  {name:<24}{size / 1e3:10.1f} kB")


if __name__ == "__main__":
    main()
