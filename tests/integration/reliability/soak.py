"""The long run: clients upload all the while, and everything is killed again and again; then the count is made.

    python -m integration.reliability.soak --kills 1000 --json docs/soak.json

A kill is SIGKILL to a gateway, a worker, a worker's child or Redis, or a failpoint's to the process that comes
by (a pool's child that dies at one is not even counted). Leases and delays are a thirtieth of those delivered,
but for the last run. Clients do as clients should: unanswered, they ask again with the same Idempotency-Key.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from dras_service.failpoints import POINTS
from integration.reliability.site import TERMINAL, Process, Site
from servers import PostgreSQL, Redis, free_port

N_CLIENTS = 4
N_GATEWAYS = 2
N_WORKERS = 3
SETTLE_WITHIN_S = 300.0
FAULTS = ("lost", "duplicated_jobs", "duplicated_results", "succeeded_without_result")
UNLIMITED = {"DRAS_GATEWAY__RATE_PER_MINUTE": "1000000", "DRAS_GATEWAY__RATE_BURST": "1000000"}
# What is delivered, for what a shorter lease cannot show: how long it takes until a lost job is taken up again.
DELIVERED = {
    "DRAS_WORKER__LEASE_S": "60",
    "DRAS_WORKER__HEARTBEAT_S": "10",
    "DRAS_WORKER__RETRY_DELAY_S": "5",
    "DRAS_QUEUE__SWEEP_INTERVAL_S": "5",
    "DRAS_QUEUE__PUBLISH_INTERVAL_S": "1",
    "DRAS_QUEUE__HINT_AGAIN_AFTER_S": "30",
    "DRAS_QUEUE__POLLING_INTERVAL_S": "0.1",
}
# What a gateway and what a worker comes by; some also at their start, which is as good a place to die.
GATEWAY_POINTS = sorted(
    point
    for point in POINTS
    if point.startswith(
        (
            "submit",
            "keep_study",
            "cancel",
            "sweep_lease",
            "rehint",
            "take_outbox",
            "end_outbox",
            "send_hint",
            "prune",
        )
    )
)
WORKER_POINTS = sorted(
    point for point in POINTS if point.startswith(("claim", "advance", "commit_result", "keep_outputs"))
)


@dataclass(frozen=True)
class Plan:
    """One run: over which servers, for how long, and how much at once."""

    name: str
    n_kills: int
    seconds: float
    cluster: bool  # PostgreSQL and Redis, otherwise SQLite and folders
    work: dict[str, int] = field(default_factory=lambda: {"quick": 6, "sleep:0.2": 3, "sleep:1": 1})
    pause_s: float = 0.3  # of a client, on average
    kill_pause_s: float = 0.4  # between two kills, at most
    machines: bool = False  # whether whole machines are lost: nobody can tell that their workers have died
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Clients:
    """Uploads from several threads, and what each was told."""

    urls: list[str]
    accepted: dict[str, str] = field(default_factory=dict)  # job id: content
    answered_at: dict[str, float] = field(default_factory=dict)
    n_submitted: int = 0
    conflicts: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)  # begin no more uploads
    leave: threading.Event = field(default_factory=threading.Event)  # ask no more

    def start(self, seed: int, plan: Plan) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + number), plan))
            for number in range(N_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _run(self, chance: random.Random, plan: Plan) -> None:
        with httpx2.Client(timeout=20) as client:
            while not self.stop.is_set():
                word = chance.choices(list(plan.work), list(plan.work.values()))[0]
                content = f"{word}\n{uuid.uuid4()}"
                self.n_submitted += 1
                job_id = self._upload(client, chance, content)
                if job_id is None:
                    continue
                if self._upload(client, chance, content) not in (job_id, None):
                    self.conflicts.append(job_id)
                if chance.random() < 0.03:
                    with suppress(httpx2.HTTPError):
                        client.post(f"{chance.choice(self.urls)}/v1/jobs/{job_id}/cancel")
                    self.cancelled.add(job_id)
                self.stop.wait(plan.pause_s * chance.random() * 2)

    def _upload(self, client: httpx2.Client, chance: random.Random, content: str) -> str | None:
        """Ask until answered, even when it is time to stop; None where it is time to leave.

        Who left unanswered would not know of a job that was committed, and it would count as a duplicate.
        """
        headers = {
            "Content-Type": "application/octet-stream",
            "Idempotency-Key": content.partition("\n")[2],
        }
        while not self.leave.is_set():
            with suppress(httpx2.HTTPError):
                url = chance.choice(self.urls)
                answer = client.post(f"{url}/v1/studies", content=content.encode(), headers=headers)
                if answer.status_code in (200, 202):
                    job_id = answer.json()["id"]
                    self.answered_at.setdefault(job_id, time.time())
                    self.accepted[job_id] = content
                    return job_id
            time.sleep(0.1)
        return None


class Killer:
    """Keeps the processes up, and ends them by chance."""

    def __init__(self, site: Site, redis: Redis | None, seed: int) -> None:
        self._site = site
        self._redis = redis
        self._chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self._mourned: set[Process] = set()
        self._ports = [site.port, *(free_port() for _ in range(N_GATEWAYS - 1))]
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self._gateways = [self._gateway(port) for port in self._ports]
        self._workers = [self._worker() for _ in range(N_WORKERS)]
        for process in (*self._gateways, *self._workers):
            process.wait_ready()

    @property
    def n_kills(self) -> int:
        return sum(count for kind, count in self.kills.items() if not kind.startswith("other"))

    def run(self, plan: Plan, until: float) -> None:
        """Kill until so many are dead or the time is over."""
        ways = {
            self._kill_child: 45,
            self._kill_worker: 15,
            self._kill_gateway: 12,
            self._plant_in_worker: 10,
            self._plant_in_gateway: 10,
            self._freeze_worker: 2,
        }
        if self._redis is not None:
            ways |= {self._kill_redis: 3, self._empty_redis: 3}
        if plan.machines:
            ways = {self._lose_machine: 1}
        while self.n_kills < plan.n_kills and time.monotonic() < until:
            self._chance.choices(list(ways), list(ways.values()))[0]()
            self._revive()
            time.sleep(self._chance.uniform(0.05, plan.kill_pause_s))

    def calm(self) -> None:
        """Replace everything by processes that nobody kills."""
        self._revive()
        for place, gateway in enumerate(self._gateways):
            gateway.kill()
            self._gateways[place] = self._gateway(self._ports[place])
        for place, worker in enumerate(self._workers):
            worker.kill()
            self._workers[place] = self._worker()
        for process in (*self._gateways, *self._workers):
            process.wait_ready()

    def _gateway(self, port: int, failpoint: str | None = None) -> Process:
        return self._site.start("gateway", failpoint, wait_ready=False, DRAS_GATEWAY__PORT=str(port))

    def _worker(self, failpoint: str | None = None) -> Process:
        return self._site.start("worker", failpoint, wait_ready=False)

    def _revive(self) -> None:
        """Start anew what has ended, at a failpoint or otherwise."""
        for place, gateway in enumerate(self._gateways):
            if not gateway.is_running:
                self._count_own_end(gateway, "gateway at a failpoint")
                gateway.close()
                self._gateways[place] = self._gateway(self._ports[place])
        for place, worker in enumerate(self._workers):
            if not worker.is_running:
                self._count_own_end(worker, "worker at a failpoint")
                worker.close()
                self._workers[place] = self._worker()

    def _count_own_end(self, process: Process, kind: str) -> None:
        if process not in self._mourned:
            self.kills[kind if process.status == -signal.SIGKILL else f"other: {process.status}"] += 1

    def _kill(self, process: Process, kind: str) -> None:
        if process.is_running:
            self._mourned.add(process)
            process.kill()
            self.kills[kind] += 1

    def _kill_child(self) -> None:
        for worker in self._chance.sample(self._workers, len(self._workers)):
            for child in worker.children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    self.kills["child"] += 1
                    return

    def _kill_worker(self) -> None:
        self._kill(self._chance.choice(self._workers), "worker")

    def _kill_gateway(self) -> None:
        self._kill(self._chance.choice(self._gateways), "gateway")

    def _plant_in_worker(self) -> None:
        """A worker whose children die at a failpoint, each of them, until it is replaced."""
        place = self._chance.randrange(N_WORKERS)
        self._kill(self._workers[place], "worker")
        point = f"{self._chance.choice(WORKER_POINTS)}:kill@{self._chance.randint(1, 4)}"
        self._workers[place].close()
        self._workers[place] = self._worker(point)

    def _plant_in_gateway(self) -> None:
        place = self._chance.randrange(N_GATEWAYS)
        self._kill(self._gateways[place], "gateway")
        point = f"{self._chance.choice(GATEWAY_POINTS)}:kill@{self._chance.randint(1, 6)}"
        self._gateways[place].close()
        self._gateways[place] = self._gateway(self._ports[place], point)

    def _freeze_worker(self) -> None:
        worker = self._chance.choice(self._workers)
        if worker.is_running:
            self._site.freeze(worker)
            time.sleep(1.5 * float(self._site.settings["DRAS_WORKER__LEASE_S"]))
            worker.send_all(signal.SIGCONT)
            self.kills["other: frozen past its lease"] += 1

    def _lose_machine(self) -> None:
        """A worker that is never heard of again, and is not seen to be dead; another takes its place."""
        place = self._chance.randrange(N_WORKERS)
        if self._workers[place].is_running:
            self._site.freeze(self._workers[place])
            self._workers[place] = self._worker()
            self.kills["machine"] += 1

    def _kill_redis(self) -> None:
        self._redis.end(signal.SIGKILL)
        time.sleep(self._chance.uniform(0.0, 2.0))
        self._redis.start()
        self.kills["redis"] += 1

    def _empty_redis(self) -> None:
        with suppress(OSError):
            self._redis.ask("FLUSHALL")
            self.kills["other: redis emptied"] += 1


def recoveries(site: Site) -> list[float]:
    """Seconds from a lost attempt's last sign of life to the next attempt's beginning, for every attempt lost."""
    rows = site.rows("SELECT job_id, at, state, attempt FROM event ORDER BY id")
    last_seen: dict[str, float] = {}
    lost_at: dict[str, float] = {}
    found = []
    for job_id, at, state, _ in rows:
        if state == "queued" and job_id in last_seen:
            lost_at[job_id] = last_seen.pop(job_id)
        elif state not in TERMINAL and state != "queued":
            if job_id in lost_at:
                found.append(at - lost_at.pop(job_id))
            last_seen[job_id] = at
    return sorted(found)


def count(site: Site, clients: Clients, killer: Killer, duration_s: float) -> dict:
    """Hold the folder against what the clients were told."""
    states = site.states()
    results = Counter(job_id for (job_id,) in site.rows("SELECT job_id FROM result"))
    ended = Counter(states[job_id] for job_id in clients.accepted if job_id in states)
    lost = [job_id for job_id in clients.accepted if states.get(job_id) not in TERMINAL]
    succeeded = {job_id for job_id, state in states.items() if state.startswith("succeeded")}
    executions = site.executions_by_digest()
    waits = recoveries(site)
    site.check_events()
    return {
        "store": site.store_url.partition(":")[0],
        "queue": "redis" if killer._redis else "folders",
        "duration_s": round(duration_s),
        "kills": killer.n_kills,
        "kills_by_kind": dict(sorted(killer.kills.items())),
        "submitted": clients.n_submitted,
        "accepted": len(clients.accepted),
        "finished": sum(ended[state] for state in TERMINAL),
        "ended": dict(sorted(ended.items())),
        "lost": len(lost),
        "duplicated_jobs": len(clients.conflicts) + len(set(states) - set(clients.accepted)),
        "duplicated_results": sum(number > 1 for number in results.values()),
        "succeeded_without_result": len(succeeded - set(results)),
        "quarantined": ended["quarantined"],
        "executions": sum(executions.values()),
        "duplicate_executions": sum(number - 1 for number in executions.values()),
        "most_executions_of_a_job": max(executions.values(), default=0),
        "lease_s": float(site.settings["DRAS_WORKER__LEASE_S"]),
        "recovery_s": {
            "count": len(waits),
            "p50": round(statistics.median(waits), 2) if waits else None,
            "p99": round(waits[min(int(len(waits) * 0.99), len(waits) - 1)], 2) if waits else None,
            "max": round(waits[-1], 2) if waits else None,
        },
    }


def soak(folder: Path, plan: Plan, seed: int) -> dict:
    """Run once over an empty folder; return the figures."""
    redis = postgresql = None
    store_url = queue_url = None
    if plan.cluster:
        (folder / "redis").mkdir()
        (folder / "postgresql").mkdir()
        redis = Redis(folder / "redis", "--appendonly", "no")
        postgresql = PostgreSQL(folder / "postgresql", "-c", "max_connections=300")
        redis.start()
        postgresql.start()
        store_url, queue_url = postgresql.create("soak"), redis.url
    site = Site(folder / "site", store_url=store_url, queue_url=queue_url, **UNLIMITED, **plan.settings)
    clients = None
    began = time.monotonic()
    try:
        killer = Killer(site, redis, seed)
        clients = Clients(killer.urls)
        threads = clients.start(seed, plan)
        killer.run(plan, began + plan.seconds)
        clients.stop.set()
        killer.calm()
        end = time.monotonic() + SETTLE_WITHIN_S
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.0))
        while set(clients.accepted) - site.ended() and time.monotonic() < end:
            time.sleep(0.2)
        return {"run": plan.name} | count(site, clients, killer, time.monotonic() - began)
    finally:
        if clients is not None:
            clients.stop.set()
            clients.leave.set()
        site.close()
        if redis is not None:
            redis.end()
        if postgresql is not None:
            postgresql.end(signal.SIGQUIT)


def plans(n_kills: int, seconds: float) -> list[Plan]:
    """Two thirds of the kills over the servers, one third without, and a few at the pace that is delivered."""
    delivered = Plan(
        "as delivered",
        n_kills=max(n_kills // 25, 1),
        seconds=seconds / 4,
        cluster=True,
        work={"sleep:10": 1},  # so that nearly every kill meets one
        pause_s=15.0,
        kill_pause_s=20.0,
        settings=DELIVERED,
    )
    lost = replace(delivered, name="as delivered, machines lost", machines=True, kill_pause_s=15.0)
    return [
        Plan("PostgreSQL and Redis", n_kills=round(n_kills * 2 / 3), seconds=seconds, cluster=True),
        Plan("SQLite and folders", n_kills=round(n_kills / 3), seconds=seconds, cluster=False),
        delivered,
        lost,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most, a run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the name of one run; the figures of the others stay as they are")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    options = parser.parse_args()
    runs: list[dict] = []
    earlier = []
    if options.json is not None and options.json.exists():
        earlier = json.loads(options.json.read_text())["runs"]
    for plan in plans(options.kills, options.seconds):
        if options.only not in (None, plan.name):
            runs += [run for run in earlier if run["run"] == plan.name]
            continue
        folder = Path(tempfile.mkdtemp(prefix="dras-soak-"))
        folder.chmod(0o755)
        try:
            runs.append(soak(folder, plan, options.seed))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(json.dumps(runs[-1]), flush=True)  # noqa: T201 - what a run is for
    figures = {"seed": options.seed, "kills": sum(run["kills"] for run in runs), "runs": runs}
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(run[fault] for run in runs for fault in FAULTS))


if __name__ == "__main__":
    raise SystemExit(main())
