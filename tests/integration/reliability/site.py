"""A service of several real processes over one folder, any of which a test may end at any moment.

Leases are short, so that seconds stand for minutes; nothing else is different from what is delivered.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver
from pathlib import Path

import httpx2
from sqlalchemy import text

from dras_service.failpoints import VARIABLE
from dras_service.store.engine import open_engine
from integration.reliability import launch, quick_worker
from integration.serving import children_of, is_alive
from servers import free_port

START_WITHIN_S = 60.0
TERMINAL = {
    "succeeded",
    "succeeded_with_warnings",
    "partial",
    "rejected",
    "failed",
    "quarantined",
    "cancelled",
    "expired",
}
# As delivered, divided by thirty: lease 60 s, sweep 10 s, delay 5 s, heartbeat 10 s, another hint after 30 s.
SHORT = {
    "DRAS_WORKER__LEASE_S": "2.0",
    "DRAS_WORKER__HEARTBEAT_S": "0.3",
    "DRAS_WORKER__RETRY_DELAY_S": "0.2",
    "DRAS_WORKER__FULL_DISK_DELAY_S": "1.0",
    "DRAS_WORKER__SHUTDOWN_GRACE_S": "0.5",
    "DRAS_QUEUE__SWEEP_INTERVAL_S": "0.35",
    "DRAS_QUEUE__PUBLISH_INTERVAL_S": "0.1",
    "DRAS_QUEUE__HINT_AGAIN_AFTER_S": "1.0",
    "DRAS_QUEUE__POLLING_INTERVAL_S": "0.05",
    "DRAS_QUEUE__SOCKET_TIMEOUT_S": "1.0",
    "DRAS_STORE__BUSY_TIMEOUT_S": "10",
    "DRAS_GATEWAY__RETRY_AFTER_S": "0.1",
    "DRAS_GATEWAY__LEAST_FREE_BYTES": "0",
    "DRAS_LOG_LEVEL": "WARNING",
}


@cache
def context() -> multiprocessing.context.ForkServerContext:
    """Forks of one server that has imported everything; before Python 3.13 it learns where from the environment."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["integration.reliability.launch", "integration.reliability.cycle"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return found


class Process:
    """A gateway or a worker, in a session of its own.

    It is a fork of a server that has imported everything and started nothing: a fresh interpreter each
    would take seconds, and a soak starts thousands.
    """

    def __init__(self, kind: str, environment: dict[str, str], log: Path) -> None:
        self.kind = kind
        self.log = log
        self._told, tells = context().Pipe(duplex=False)
        self._process = context().Process(target=launch.run, args=(kind, environment, str(log), tells))
        self._process.start()
        tells.close()

    def wait_ready(self) -> None:
        said = b""
        while not said.endswith(b"\n") and (block := os.read(self._told.fileno(), 100)):
            said += block
        if said != b"ready\n":
            raise AssertionError(f"does not start: {self.log.read_text(errors='replace')[-3000:]}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def children(self) -> list[int]:
        return children_of(self.pid)

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    @property
    def status(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        """Kill the process and everything it started, at once."""
        self.send_all(signal.SIGCONT)
        self.send_all(signal.SIGKILL)
        self._process.join(30)

    def kill_alone(self) -> None:
        """Kill the process; its children are left to notice."""
        children = self.children
        self._process.kill()
        self._process.join(30)
        for child in children:  # a pool's child ends when its parent is gone; see to it
            wait(lambda child=child: not is_alive(child), 20, "a child outlives its worker")

    def send_all(self, number: int) -> None:
        for pid in (self.pid, *self.children):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, within_s: float = 30.0) -> int:
        """Ask politely."""
        self._process.terminate()
        self._process.join(within_s)
        assert self.status is not None, "it does not end"
        return self.status

    def close(self) -> None:
        if self.is_running:
            self.kill()
        self._told.close()


class Site:
    """Gateways and workers over one folder, one database and one broker."""

    def __init__(
        self,
        folder: Path,
        *,
        store_url: str | None = None,
        queue_url: str | None = None,
        data: Path | None = None,
        **more: str,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = data or folder / "data"
        self.executions = folder / "executions.log"
        self.executions.touch()
        self.port = free_port()
        self.settings = SHORT | {"DRAS_DATA": str(self.data), "DRAS_GATEWAY__PORT": str(self.port)} | more
        if store_url:
            self.settings["DRAS_STORE__URL"] = store_url
        if queue_url:
            self.settings["DRAS_QUEUE__URL"] = queue_url
        self.store_url = store_url or f"sqlite:///{self.data / 'jobs.sqlite3'}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: list[Process] = []
        self.client = httpx2.Client(base_url=self.url, timeout=30)

    def start(
        self, kind: str, failpoint: str | None = None, *, wait_ready: bool = True, **more: str
    ) -> Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DRAS_")}
        environment |= self.settings | more | {quick_worker.EXECUTIONS: str(self.executions)}
        environment["DRAS_LIBRARY"] = os.environ.get("DRAS_LIBRARY", str(self.folder / "library"))
        if failpoint:
            environment[VARIABLE] = failpoint
        process = Process(kind, environment, self.folder / f"{kind}.log")
        self.processes.append(process)
        if wait_ready:
            process.wait_ready()
        return process

    def gateway(self, failpoint: str | None = None, **more) -> Process:
        return self.start("gateway", failpoint, **more)

    def worker(self, failpoint: str | None = None, **more) -> Process:
        return self.start("worker", failpoint, **more)

    def close(self) -> None:
        self.client.close()
        for process in self.processes:
            process.close()

    # What a client does

    def submit(self, content: str, **parameters: str) -> str:
        """Upload; return the job's id. The content is what the engine is told."""
        answer = self.post(content, **parameters)
        assert answer.status_code in (200, 202), answer.text  # 200: the job there is
        return answer.json()["id"]

    def post(self, content: str, **parameters: str) -> httpx2.Response:
        headers = {"Content-Type": "application/octet-stream"}
        return self.client.post("/v1/studies", content=content.encode(), headers=headers, params=parameters)

    def job(self, job_id: str) -> dict:
        return self.client.get(f"/v1/jobs/{job_id}").json()

    def wait_for(self, *job_ids: str, within_s: float = 40.0) -> list[dict]:
        """Wait until every job has ended."""
        wait(lambda: not set(job_ids) - self.ended(), within_s, f"jobs end; {self.states()}")
        return [self.job(job_id) for job_id in job_ids]

    def wait_for_ends(self, job_ids: Iterable[str], within_s: float = 300.0) -> None:
        """Wait until every job has ended, of which there may be many."""
        ids = set(job_ids)
        wait(lambda: ids <= self.ended(), within_s, "jobs end")

    def wait_until_running(self, job_id: str) -> None:
        wait(lambda: self.states()[job_id] in ("preparing", "encoding", "finishing"), 30, "the job runs")

    def freeze(self, worker: Process) -> None:
        """Stop a worker, but not where it holds SQLite's one lock: then nobody goes on (docs/reliability.md)."""
        while True:
            worker.send_all(signal.SIGSTOP)
            if not self.store_url.startswith("sqlite") or self._can_write():
                return
            worker.send_all(signal.SIGCONT)
            time.sleep(0.01)

    def _can_write(self) -> bool:
        connection = sqlite3.connect(
            self.store_url.removeprefix("sqlite:///"), timeout=0.5, isolation_level=None
        )
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True

    # What the database and the disk say, asked past the service

    def rows(self, query: str) -> list[tuple]:
        engine = open_engine(self.store_url)
        try:
            with engine.execution_options(dras_reads_only=True).connect() as connection:
                return [tuple(row) for row in connection.execute(text(query)).all()]
        finally:
            engine.dispose()

    def states(self) -> dict[str, str]:
        return dict(self.rows("SELECT id, state FROM job"))

    def ended(self) -> set[str]:
        return {job_id for job_id, state in self.states().items() if state in TERMINAL}

    def n_executions(self, content: str) -> int:
        digest = hashlib.sha256(content.encode()).hexdigest()
        return sum(line.startswith(digest) for line in self.executions.read_text().splitlines())

    def executions_by_digest(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.executions.read_text().splitlines())

    def files(self, *parts: str) -> list[Path]:
        folder = self.data / "blobs" / Path(*parts)
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def check(self, contents: dict[str, str]) -> None:
        """Hold the service to its promises for accepted jobs, `contents` by id; they must have ended."""
        states = self.states()
        lost = [job_id for job_id in contents if job_id not in states]
        assert not lost, f"lost: {lost}"
        results = Counter(job_id for (job_id,) in self.rows("SELECT job_id FROM result"))
        twice = [job_id for job_id, count in results.items() if count > 1]
        assert not twice, f"two results: {twice}"
        for job_id, content in contents.items():
            done = states[job_id] in ("succeeded", "succeeded_with_warnings", "partial")
            assert done == (job_id in results), f"{job_id} is {states[job_id]}, results: {results[job_id]}"
            if done:
                self._check_output(job_id, content)
        self.check_events()

    def _check_output(self, job_id: str, content: str) -> None:
        answer = self.client.get(f"/v1/jobs/{job_id}/artifacts/result.json")
        assert answer.status_code == 200, answer.text
        assert json.loads(answer.text)["sha256"] == hashlib.sha256(content.encode()).hexdigest()

    def check_events(self) -> None:
        """A terminal state is the last of its job, and said once; attempts never pass three."""
        last: dict[str, str] = {}
        for job_id, state, attempt in self.rows("SELECT job_id, state, attempt FROM event ORDER BY id"):
            assert last.get(job_id) not in TERMINAL, f"{job_id} was {last[job_id]} and then {state}"
            assert attempt <= 3
            last[job_id] = state
        assert last == {job_id: state for job_id, state in self.states().items() if job_id in last}


def wait(condition, within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.03)
