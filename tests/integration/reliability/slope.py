"""Whether a job leaves anything behind in the processes that do it: memory and descriptors over thousands of jobs.

    python -m integration.reliability.slope --jobs 5000 --json docs/slope.json

A gateway and a worker do jobs that take no time; every so many, what their processes hold is read from `/proc`. The
worker's child is never replaced meanwhile, which it is as delivered. Leaves out what the pipeline itself holds.
"""

import argparse
import json
import os
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from integration.reliability.site import Process, Site

LASTS = "1000000"
SETTINGS = {
    "DRAS_GATEWAY__RATE_PER_MINUTE": LASTS,
    "DRAS_GATEWAY__RATE_BURST": LASTS,
    "DRAS_WORKER__MAX_TASKS_PER_CHILD": LASTS,
    "DRAS_WORKER__LEASE_S": "60",
    "DRAS_QUEUE__HINT_AGAIN_AFTER_S": "60",
    "DRAS_QUEUE__POLLING_INTERVAL_S": "0.01",
}
N_CLIENTS = 4
N_SAMPLES = 20


def held(pid: int) -> dict[str, float]:
    """Return what a process holds: kB of memory, and descriptors."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {
        "rss_kb": float(status.partition("VmRSS:")[2].split()[0]),
        "descriptors": float(len(os.listdir(f"/proc/{pid}/fd"))),  # noqa: PTH208 - names are not needed
    }


def slope(values: list[float], step: int) -> float:
    """Return the growth a job, by least squares, where a value was read every `step` jobs."""
    middle = (len(values) - 1) / 2
    offsets = [place - middle for place in range(len(values))]
    rises = sum(offset * value for offset, value in zip(offsets, values, strict=True))
    return rises / sum(offset * offset for offset in offsets) / step


def measure(folder: Path, n_jobs: int) -> dict:
    """Do `n_jobs` over an empty folder; return the figures of each process."""
    site = Site(folder / "site", **SETTINGS)
    try:
        gateway, worker = site.gateway(), site.worker()
        step = max(n_jobs // N_SAMPLES, 1)
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in pids(gateway, worker)}
        with ThreadPoolExecutor(N_CLIENTS) as clients:
            for _ in range(N_SAMPLES + 1):  # the first of them warm up
                site.wait_for_ends(clients.map(site.submit, [f"quick\n{uuid.uuid4()}" for _ in range(step)]))
                for name, pid in pids(gateway, worker).items():
                    samples[name].append(held(pid))
        return {"jobs": step * N_SAMPLES} | {
            name: {
                what: {
                    "first": read[1][what],
                    "last": read[-1][what],
                    "a_job": round(slope([sample[what] for sample in read[1:]], step), 4),
                }
                for what in ("rss_kb", "descriptors")
            }
            for name, read in samples.items()
        }
    finally:
        site.close()


def pids(gateway: Process, worker: Process) -> dict[str, int]:
    """Return the processes that are watched; a child that were replaced would not be the same."""
    (child,) = worker.children
    return {"gateway": gateway.pid, "worker": worker.pid, "child": child}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="a temporary one by default")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dras-slope-", dir=options.folder) as folder:
        figures = measure(Path(folder), options.jobs)
    print(json.dumps(figures, indent=1))  # noqa: T201 - what a run is for
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
