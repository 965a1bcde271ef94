"""What loading the SDK takes, beside the interpreter alone, and what a search for similar studies takes.

Loading is timed in fresh processes, in turn with ones that load nothing and ones that load the HTTP library alone;
clock and processor, for on a busy machine the clock tells of the others. The search is timed over a database of
made-up embeddings, whole and by numpy on the same vectors in memory, which the gateway does not load: what it would
save. The gateway holds the interpreter while it compares.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from report import keep
from sqlalchemy import insert

from dras_service.store.engine import open_engine
from dras_service.store.schema import embedding, job, result, study
from dras_service.store.store import Store

BOUND_S = 0.3
WIDTH = 128
SIZES = (1_000, 5_000, 20_000)
LOADED = {"nothing": "pass", "httpx2": "import httpx2", "dras_client": "import dras_client"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sdk.json")
    options = parser.parse_args()
    loading = _loading(options.runs)
    with tempfile.TemporaryDirectory() as scratch:
        similar = {str(size): _search(Path(scratch) / f"{size}.sqlite3", size) for size in SIZES}
    for name, (clock_s, processor_s) in loading.items():
        print(f"load {name:<12} {clock_s:.3f} s, processor {processor_s:.3f} s")
    for size, found in similar.items():
        search_ms, numpy_ms = found["search_s"] * 1e3, found["numpy_s"] * 1e3
        print(f"similar among {size:>6}: {search_ms:.0f} ms, numpy alone {numpy_ms:.1f} ms")
    figures = {
        "loading_s": {name: {"clock": times[0], "processor": times[1]} for name, times in loading.items()},
        "loading_over_interpreter": loading["dras_client"][1] / loading["nothing"][1],
        "bound_s": BOUND_S,
        "is_within_bound": loading["dras_client"][1] < BOUND_S,
        "similar": similar,
    }
    keep(figures, options.out)


def _loading(n_runs: int) -> dict[str, tuple[float, float]]:
    """Medians of the clock and of the processor by what was loaded."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in LOADED}
    for _ in range(n_runs + 1):
        for name, code in LOADED.items():
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
            clock_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            times[name].append((clock_s, processor_s))
    # The first of each has found nothing in the disk's cache.
    return {
        name: (statistics.median(clock for clock, _ in found[1:]), statistics.median(p for _, p in found[1:]))
        for name, found in times.items()
    }


def _search(path: Path, n_studies: int) -> dict[str, float]:
    vectors = np.random.default_rng(0).normal(size=(n_studies + 1, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = Store(open_engine(f"sqlite:///{path}"))
    store.migrate()
    _fill(store, vectors)
    search_s, clock_s, numpy_s = [], [], []
    for _ in range(5):
        started, at = time.process_time(), time.perf_counter()
        found = store.neighbours.nearest("0", tenant="default", region="whole", limit=10)
        search_s.append(time.process_time() - started)
        clock_s.append(time.perf_counter() - at)
        started = time.process_time()
        nearest = np.argsort(-(vectors[1:] @ vectors[0]))[:10] + 1
        numpy_s.append(time.process_time() - started)
    assert found is not None
    assert [near.job_id for near in found.neighbours] == [str(number) for number in nearest]
    store.close()
    return {
        "search_s": statistics.median(search_s),  # of the processor, as the next but one
        "search_clock_s": statistics.median(clock_s),
        "numpy_s": statistics.median(numpy_s),
        "compared": found.n_compared,
    }


def _fill(store: Store, vectors: np.ndarray) -> None:
    ids = [str(number) for number in range(len(vectors))]
    fixed = {"state": "succeeded", "progress": 1.0, "attempts": 1, "fence": 1, "not_before": 0.0, "hints": 1}
    with store._database.write("tenant", tenant="default") as connection:
        connection.execute(
            insert(study),
            [{"key": i, "sha256": i, "size_bytes": 1, "n_files": 1, "created_at": 0.0} for i in ids],
        )
        connection.execute(
            insert(job),
            [{"id": i, "study_key": i, "created_at": float(i), "updated_at": 0.0, **fixed} for i in ids],
        )
        connection.execute(
            insert(result), [{"job_id": i, "document": "", "outputs_key": i, "created_at": 0.0} for i in ids]
        )
        own = {"region": "whole", "tenant": "default", "space": "s", "n_patches": 500}
        connection.execute(
            insert(embedding),
            [own | {"job_id": i, "vector": vector.tobytes()} for i, vector in zip(ids, vectors, strict=True)],
        )


if __name__ == "__main__":
    main()
