"""How workers that are started apart share one queue, through Redis and PostgreSQL on private ports.

The stage sleeps, so that the processors of the machine decide nothing. Everything else is real: hints, leases,
blobs and commits. One, two and four workers take turns; the figures are medians. Beside: how long an idle worker
takes to notice a study, what becomes of studies when workers come and go under load, and how many hints a backlog
has, which is why a cluster is scaled by jobs and not by the length of a Redis list (decision 0063).
"""

import argparse
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import QueueSettings, Settings, StoreSettings, read_settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.keeping import keep as keep_study
from dras_service.store.rows import Order
from dras_service.store.store import Store
from dras_service.worker import __main__ as worker

_STEP_S = 0.02
_NUMBERS = (1, 2, 4)
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
    port = _free_port()
    durable = ("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction")
    place = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    with _server(["redis-server", *place, *durable], port, signal.SIGTERM):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL of our own, which syncs as it is delivered; yield its URL."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    data, port = folder / "postgresql", _free_port()
    data.mkdir()
    shutil.chown(data, user)
    make = [programs / "initdb", "--auth=trust", "--username=dras", "--encoding=UTF8", f"--pgdata={data}"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, user=user, cwd=data)
    command = [
        str(programs / "postgres"),
        "-D",
        str(data),
        "-k",
        str(data),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with _server(command, port, signal.SIGINT, user=user, cwd=data):
        yield f"postgresql+psycopg://dras@127.0.0.1:{port}/postgres"


@contextmanager
def _server(command: list[str], port: int, ending: int, **options: Any) -> Iterator[None]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        server.send_signal(ending)
        server.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def working(environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker, a process of its own, ready when the block begins."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--worker"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        if process.stdout is None or process.stdout.readline().strip() != b"ready":
            raise RuntimeError("a worker does not start")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def workers(n_workers: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Run several."""
    with ExitStack() as stack:
        for _ in range(n_workers):
            stack.enter_context(working(environment))
        yield


class Bench:
    """The gateway's side: submits, sends hints, and looks when everything is done."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store = Store(open_engine(settings.store_url))
        self._store.migrate()
        self._blobs = BlobStore(settings.blob_folder)
        self._blobs.prepare()
        self._celery = create_celery(settings)
        self._publisher = Publisher(self._store.outbox, Hints(self._celery).send)
        self._n_studies = 0

    def submit(self, n_studies: int) -> list[str]:
        """Submit studies, all new; return their jobs."""
        return [self._submit() for _ in range(n_studies)]

    def finish(self, jobs: list[str], n_of_them: int | None = None) -> None:
        """Send hints until as many of the jobs as that, or all, are done."""
        while sum(map(self._has_ended, jobs)) < (n_of_them or len(jobs)):
            self._publisher.run_once()
            time.sleep(_STEP_S)

    def studies_per_s(self, n_studies: int) -> float:
        """Submit studies at once and return at what rate they were done."""
        jobs = self.submit(n_studies)
        started = time.perf_counter()
        self.finish(jobs)
        return n_studies / (time.perf_counter() - started)

    def pick_up_s(self, n_studies: int) -> list[float]:
        """Submit studies one after the other; return how long each waited for its worker."""
        found = []
        for _ in range(n_studies):
            (job,) = jobs = self.submit(1)
            self.finish(jobs)
            with self._store._database.read() as connection:
                query = "SELECT at, state FROM event WHERE job_id = %s ORDER BY id"
                rows = connection.exec_driver_sql(query, (job,)).all()
            taken = next(at for at, state in rows if state != "queued")
            found.append(taken - rows[0][0])
        return found

    def attempts(self, jobs: list[str]) -> int:
        """Return how often the jobs were begun, those that were given back left out."""
        found = (self._store.jobs.find(job, tenant="default") for job in jobs)
        return sum(job.attempts for job in found if job is not None)

    def hints_of_a_backlog(self, n_studies: int, *, for_s: float) -> int:
        """Leave studies waiting without a worker, with the sweeper at work; return how many hints Redis holds."""
        self.submit(n_studies)
        sweeper = Sweeper(
            store=self._store, blobs=self._blobs, wake_publisher=lambda: None, settings=self.settings
        )
        end = time.monotonic() + for_s
        while time.monotonic() < end:
            sweeper.run_once()
            self._publisher.run_once()
            time.sleep(0.2)
        with self._celery.connection_for_read() as connection:
            return int(connection.default_channel.client.llen(self.settings.queue.name))

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


def rates(
    options: argparse.Namespace, bench: Bench, environment: Mapping[str, str]
) -> dict[int, list[float]]:
    """Return the rates of every run by the number of workers."""
    found: dict[int, list[float]] = {number: [] for number in _NUMBERS}
    for _ in range(options.runs):
        for n_workers, of_number in found.items():
            with workers(n_workers, environment):
                bench.studies_per_s(2 * n_workers)  # each opens its database
                of_number.append(bench.studies_per_s(options.studies))
    return found


def coming_and_going(n_studies: int, bench: Bench, environment: Mapping[str, str]) -> dict[str, int]:
    """Add a worker under load, then take the first away; every study must be done."""
    jobs = bench.submit(n_studies)
    with working(environment) as first:
        bench.finish(jobs, n_studies // 4)
        with working(environment):
            bench.finish(jobs, n_studies // 2)
            first.send_signal(signal.SIGTERM)
            bench.finish(jobs)
    return {"studies": n_studies, "done": n_studies, "attempts": bench.attempts(jobs)}


def measure(
    options: argparse.Namespace, folder: Path, urls: tuple[str, str], *, result: Path
) -> dict[str, Any]:
    """Return all figures."""
    store, queue = urls
    # The sweeper's intervals of the backlog stand for the thirty seconds of the delivery.
    shortened = QueueSettings(url=queue, hint_again_after_s=1.0)
    settings = Settings(data=folder, store=StoreSettings(url=store), queue=shortened)
    environment = settings.environment() | {_SLEEP: str(options.sleep_s), _RESULT: str(result)}
    bench = Bench(settings)
    found = rates(options, bench, environment)
    one = median(found[1])
    with working(environment):
        bench.pick_up_s(2)
        picked_up = bench.pick_up_s(10)
    moved = coming_and_going(options.studies, bench, environment)
    backlog = 20
    return {
        "studies": options.studies,
        "sleep_s": options.sleep_s,
        "studies_per_s": {str(number): median(of_number) for number, of_number in found.items()},
        "times_one_worker": {str(number): median(of_number) / one for number, of_number in found.items()},
        "overhead_s_of_a_study": {
            str(number): number / median(of_number) - options.sleep_s for number, of_number in found.items()
        },
        "two_workers_to_one": median(found[2]) / one,
        "share_of_the_ideal_of_one": one * options.sleep_s,
        "picked_up_after_s": {"median": median(picked_up), "most": max(picked_up)},
        "a_worker_added_and_one_taken_away": moved,
        "hints_of_a_backlog": {"jobs": backlog, "hints": bench.hints_of_a_backlog(backlog, for_s=8.0)},
    }


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
    folder.chmod(0o755)  # PostgreSQL's user has to pass
    try:
        result = make_result(folder / "study", folder / "out")
        with redis(folder) as queue, postgresql(folder) as store:
            figures = measure(options, folder / "data", (store, queue), result=result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    keep(figures, options.out)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
