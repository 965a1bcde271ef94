"""How many studies two workers finish in the time in which one finishes one, through Redis.

The stage sleeps, so that the processors of the machine decide nothing: what is measured is whether workers that are
started apart share one queue without getting into each other's way. Everything else is real: Redis on a private
port, the database, hints, leases, blobs and commits. One and two workers take turns; the figures are medians.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from celery.exceptions import SecurityWarning
from report import RESULTS, keep

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import write_series
from dras_model.library import open_weights
from dras_model.pipeline import extract
from dras_model.results.progress import Report
from dras_model.results.study import Stage, StudyResult
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.queue.publisher import Publisher
from dras_service.settings import QueueSettings, Settings, read_settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.keeping import keep as keep_study
from dras_service.store.rows import Order
from dras_service.store.store import Store
from dras_service.worker import __main__ as worker

_STEP_S = 0.02
_SLEEP, _RESULT = "DRAS_BENCHMARK_SLEEP_S", "DRAS_BENCHMARK_RESULT"


class SleepingEngine:
    """Takes its time and computes nothing; its result is one that was made before."""

    def __init__(self) -> None:
        self._sleep_s = float(os.environ[_SLEEP])
        self._result = StudyResult.model_validate_json(Path(os.environ[_RESULT]).read_bytes())

    def __call__(self, source: Path, out: Path, *, report: Report, **_choices: Any) -> StudyResult:
        """Sleep, reporting all the while."""
        end = time.monotonic() + self._sleep_s
        while (left_s := end - time.monotonic()) > 0:
            report(Stage.READ, 1 - left_s / self._sleep_s)
            time.sleep(min(_STEP_S, left_s))
        out.mkdir()
        (out / "result.json").write_bytes(source.read_bytes())
        return self._result


def work() -> int:
    """Be a worker."""
    worker.worker_ready.connect(worker._announce)
    worker.setup_logging.connect(worker._keep_logging)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # containers run as root
    return worker.run(worker.create_worker(read_settings(), (), SleepingEngine()), log_level="ERROR")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis of our own; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def workers(n_workers: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Run workers, each a process of its own, ready when the block begins."""
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(n_workers)
    ]
    try:
        for process in processes:
            if process.stdout is None or process.stdout.readline().strip() != b"ready":
                raise RuntimeError("a worker does not start")
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


class Bench:
    """The gateway's side: submits, sends hints, and looks when everything is done."""

    def __init__(self, settings: Settings) -> None:
        self._store = Store(open_engine(settings.store_url))
        self._store.migrate()
        self._blobs = BlobStore(settings.blob_folder)
        self._blobs.prepare()
        self._publisher = Publisher(self._store.outbox, Hints(create_celery(settings)).send)
        self._n_studies = 0

    def studies_per_s(self, n_studies: int) -> float:
        """Submit studies at once and return at what rate they were done."""
        jobs = [self._submit() for _ in range(n_studies)]
        started = time.perf_counter()
        while not all(self._has_ended(job) for job in jobs[-2:]) or not all(map(self._has_ended, jobs)):
            self._publisher.run_once()
            time.sleep(_STEP_S)
        return n_studies / (time.perf_counter() - started)

    def _submit(self) -> str:
        self._n_studies += 1
        with self._blobs.receive() as incoming:
            incoming.write(str(self._n_studies).encode())
            submission = self._store.submission
            order = Order()
            return keep_study(
                incoming, order, tenant="default", submission=submission, blobs=self._blobs
            ).job.id

    def _has_ended(self, job_id: str) -> bool:
        job = self._store.jobs.find(job_id, tenant="default")
        if job is None or (job.state.is_terminal and not job.state.has_result):
            raise RuntimeError("a job was not done")
        return job.state.has_result


def make_result(study: Path, out: Path) -> Path:
    """Compute a small phantom for real, for what is committed to be as large as it is; return its document."""
    write_series(make_phantom(PhantomSpec(n_slices=60, matrix=96)).volume, study)
    atlas, bundle = open_weights(None, None)
    extract(study, out, atlas=atlas, encoder=Encoder.open(bundle))
    return out / "result.json"


def measure(options: argparse.Namespace, folder: Path, url: str, *, result: Path) -> dict[int, list[float]]:
    """Return the rates of every run by the number of workers."""
    settings = Settings(data=folder, queue=QueueSettings(url=url))
    environment = settings.environment() | {_SLEEP: str(options.sleep_s), _RESULT: str(result)}
    bench = Bench(settings)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.runs):
        for n_workers, found in rates.items():
            with workers(n_workers, environment):
                bench.studies_per_s(2 * n_workers)  # each opens its database
                found.append(bench.studies_per_s(options.studies))
    return rates


def main() -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--studies", type=int, default=24, help="of each run")
    parser.add_argument("--sleep-s", type=float, default=0.5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "workers.json")
    options = parser.parse_args()
    if options.worker:
        sys.exit(work())
    folder = Path(tempfile.mkdtemp(prefix="dras-workers-"))
    try:
        result = make_result(folder / "study", folder / "out")
        with redis(folder) as url:
            rates = measure(options, folder / "data", url, result=result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, object] = {
        "studies": options.studies,
        "sleep_s": options.sleep_s,
        "studies_per_s": {str(n_workers): median(found) for n_workers, found in rates.items()},
        "two_workers_to_one": median(rates[2]) / median(rates[1]),
        "share_of_the_ideal_of_one": median(rates[1]) * options.sleep_s,
    }
    keep(figures, options.out)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
