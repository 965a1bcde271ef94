"""What a batch costs beside its studies: time a case against plain calls of the pipeline, and memory over 10,000.

Time: small phantoms are computed by plain calls in this process and by a batch with one worker, in turns, and the
median of the ratios is kept; a whole batch is all of it, from looking for studies to the table. Memory: that of the
batch's process over cases whose worker computes nothing and leaves a result that was made before; all else is real.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pydicom
from report import RESULTS, keep

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.library import open_weights
from dras_model.outputs.folder import new_folder
from dras_model.pipeline import extract
from dras_model.results.study import StudyResult
from dras_service.batch import worker
from dras_service.batch.events import Ended, Event
from dras_service.batch.here import Bounds, WorkerPlace, resident_mb
from dras_service.batch.job import BatchJob, Source
from dras_service.batch.messages import Setup
from dras_service.batch.opening import WORKERS_LOG, open_places, recipe_of
from dras_service.batch.run import Stop, run_batch

_RESULT = "DRAS_BENCHMARK_RESULT"
_COMMAND = (sys.executable, __file__, "--worker")
_PLACES = 2


class Copying:
    """Computes nothing: leaves a result that was made before."""

    def __init__(self, _setup: Setup) -> None:
        self._content = Path(os.environ[_RESULT]).read_bytes()
        self._result = StudyResult.model_validate_json(self._content)

    def __call__(self, _source: Path, out: Path, **_asked: Any) -> StudyResult:
        with new_folder(out, overwrite=True) as folder:
            (folder / "result.json").write_bytes(self._content)
        return self._result


def make_studies(root: Path, n_studies: int, *, n_slices: int, matrix: int) -> None:
    """Write studies of one phantom, each a folder."""
    volume = make_phantom(PhantomSpec(n_slices=n_slices, matrix=matrix)).volume
    for number in range(n_studies):
        write_series(volume, root / f"{number:05}", SeriesOptions(seed=1 + number))


def make_tiny_studies(root: Path, n_studies: int) -> None:
    """Write studies of one image without a content, each a folder."""
    (first,) = write_series(make_phantom(PhantomSpec(n_slices=12, matrix=16)).volume, root / "first")[:1]
    image = pydicom.dcmread(first)
    shutil.rmtree(root / "first")
    for number in range(n_studies):
        image.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        (root / f"{number:05}").mkdir()
        image.save_as(root / f"{number:05}" / "image.dcm")


def time_plainly(root: Path, out: Path) -> float:
    """Return seconds of plain calls, the weights opened."""
    atlas, bundle = open_weights(None, None)
    encoder = Encoder.open(bundle)
    began_at = time.perf_counter()
    for study in sorted(root.iterdir()):
        extract(study, out / study.name, atlas=atlas, encoder=encoder)
    return time.perf_counter() - began_at


def time_batch(root: Path, out: Path) -> tuple[float, float]:
    """Return seconds of a whole batch with one worker, and those from the first end of a case to the last."""
    ends: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, Ended):
            ends.append(time.perf_counter())

    job, stop = (
        BatchJob.model_validate({"out": out, "source": {"folder": root}, "here": {"workers": 1}}),
        Stop(),
    )
    began_at = time.perf_counter()
    summary = run_batch(job, open_places(job, stop=stop), recipe=recipe_of(job), stop=stop, hear=hear)
    if summary.counts.done != len(ends):
        raise RuntimeError("a study failed")
    return time.perf_counter() - began_at, ends[-1] - ends[0]


def measure_time(room: Path, options: argparse.Namespace) -> dict[str, object]:
    """Compute the same studies both ways, in turns."""
    root = room / "studies"
    make_studies(root, options.studies, n_slices=60, matrix=128)
    time_plainly(root, room / "warm")
    plain: list[float] = []
    whole: list[float] = []
    steady: list[float] = []
    for turn in range(options.turns):
        plain.append(time_plainly(root, room / f"plain{turn}"))
        found = time_batch(root, room / f"batch{turn}")
        whole.append(found[0])
        steady.append(found[1] / (options.studies - 1))
    a_case = [seconds / options.studies for seconds in plain]
    return {
        "studies": options.studies,
        "turns": options.turns,
        "plain_s_a_case": statistics.median(a_case),
        "batch_s_a_case": statistics.median(steady),
        "case_ratio": statistics.median(s / p for s, p in zip(steady, a_case, strict=True)),
        "whole_ratio": statistics.median(b / p for b, p in zip(whole, plain, strict=True)),
    }


def drive(root: Path, out: Path, marks: list[int]) -> dict[str, object]:
    """Run a batch of cases that cost nothing; return this process' memory after so many, and after the table."""
    resident: dict[str, float] = {}
    n_ended = 0

    def hear(event: Event) -> None:
        nonlocal n_ended
        n_ended += isinstance(event, Ended)
        if isinstance(event, Ended) and n_ended in marks:
            resident[str(n_ended)] = resident_mb(os.getpid())

    out.mkdir()
    stop = Stop()
    places = [
        WorkerPlace(
            Setup(parent=os.getpid()),
            Bounds(4096, 60.0),
            log=out / WORKERS_LOG,
            stop=stop.now,
            command=_COMMAND,
        )
        for _ in range(_PLACES)
    ]
    job = BatchJob(out=out, source=Source(folder=root))
    began_at = time.perf_counter()
    summary = run_batch(job, places, recipe="none", stop=stop, hear=hear)
    return {
        "cases": summary.counts.done,
        "driver_rss_mb": resident,
        "driver_rss_after_table_mb": resident_mb(os.getpid()),
        "seconds_a_case_with_table": (time.perf_counter() - began_at) / summary.counts.total,
    }


def measure_memory(room: Path, options: argparse.Namespace) -> dict[str, object]:
    """Drive the cases in a process of its own, which has computed nothing before."""
    studies = room / "tiny"
    studies.mkdir()
    make_tiny_studies(studies, options.cases)
    make_studies(room / "one", 1, n_slices=60, matrix=96)
    atlas, bundle = open_weights(None, None)
    result = extract(room / "one" / "00000", room / "made", atlas=atlas, encoder=Encoder.open(bundle))
    # Of one region, so that reading 10,000 of them for the table takes minutes.
    small = result.model_copy(update={"scores": tuple(s for s in result.scores if s.region == "whole")})
    (room / "made" / "result.json").write_text(small.model_dump_json(), "utf-8")
    command = [sys.executable, __file__, "--drive", str(studies), "--cases", str(options.cases)]
    environment = os.environ | {_RESULT: str(room / "made" / "result.json")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


_MEASURES = {"memory": measure_memory, "time": measure_time}


def main() -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--studies", type=int, default=8, help="computed in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--cases", type=int, default=10_000, help="of the memory's measurement")
    parser.add_argument("--only", choices=["memory", "time"], help="the other figures stay as they were kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "batch.json")
    options = parser.parse_args()
    if options.worker:
        sys.exit(worker.main(Copying))
    if options.drive is not None:
        marks = [100, 1_000, options.cases // 2, options.cases]
        sys.stdout.write(json.dumps(drive(options.drive, options.drive.with_name("driven"), marks)))
        return
    with tempfile.TemporaryDirectory(prefix="dras-batch-") as room:
        known = json.loads(options.out.read_text()) if options.only and options.out.exists() else {}
        figures: dict[str, object] = {name: known[name] for name in _MEASURES if name in known}
        for name, measure in _MEASURES.items():
            if options.only not in (None, name):
                continue
            figures[name] = measure(Path(room), options)
            sys.stdout.write(json.dumps({name: figures[name]}, indent=1) + "\n")
            sys.stdout.flush()
    keep(figures, options.out)


if __name__ == "__main__":
    main()
