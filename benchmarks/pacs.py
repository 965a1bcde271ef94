"""How fast the node receives, against DCMTK's storescp on the same files in the same run; and whether it grows.

Both are sent the same slices by DCMTK's storescu, over one association and over four at once, in turns. storescp
writes files and leaves them to the system; the node syncs every image before it acknowledges it. The memory of the
node is taken ten times a second while it receives; what counts is how far it grows after the first tenth.

    python benchmarks/pacs.py
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from report import keep, options_of_size

from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Grid, Volume

CONFIG = """
[node]
ae_title = "DRAS"
port = {port}
[peers.sender]
ae_title = "STORESCU"
addresses = ["127.0.0.1"]
[routes.all]
quiet_s = 3600.0
most_wait_s = 7200.0
"""


def main() -> None:
    parser = options_of_size(__doc__, "pacs")
    parser.set_defaults(slices=2000, matrix=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dras-pacs-") as temporary:
        folder = Path(temporary)
        files = write_slices(folder / "slices", options.slices, options.matrix)
        n_bytes = sum(path.stat().st_size for path in files)
        figures: dict[str, object] = {"slices": len(files), "megabytes": n_bytes / 1e6}
        for n_associations in (1, 4):
            rates: dict[str, list[float]] = {"node": [], "storescp": []}
            for _ in range(options.runs):
                with storescp(folder / "theirs") as port:
                    rates["storescp"].append(n_bytes / 1e6 / send(files, port, n_associations))
                with node(folder / "ours") as (port, pid), watched(pid) as memory:
                    rates["node"].append(n_bytes / 1e6 / send(files, port, n_associations))
            figures[f"{n_associations}_associations"] = {
                "node_mb_per_s": median(rates["node"]),
                "storescp_mb_per_s": median(rates["storescp"]),
                "ratio": median(rates["node"]) / median(rates["storescp"]),
                "node_rss_mb_after_a_tenth": memory[len(memory) // 10],
                "node_rss_mb_at_most": max(memory),
            }
    keep(figures, options.out)
    print(json.dumps(figures, indent=1))


def write_slices(folder: Path, n_slices: int, matrix: int) -> list[Path]:
    """Noise: nothing here looks at it."""
    paths: list[Path] = []
    random = np.random.default_rng(0)
    affine = np.array(
        [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    )
    for part in range(0, n_slices, 100):
        n = min(100, n_slices - part)
        hu = random.integers(-1000, 200, (n, matrix, matrix)).astype(np.float32)
        options = SeriesOptions(seed=1, series_number=part // 100 + 1)
        paths += write_series(Volume(hu, Grid(hu.shape, affine)), folder / f"{part:05d}", options)
    return paths


def send(files: Sequence[Path], port: int, n_associations: int) -> float:
    """Send the files; return the seconds that took."""
    lists = []
    for part in range(n_associations):
        listed = files[0].parents[1] / f"list-{part}"
        listed.write_text("\n".join(map(str, files[part::n_associations])))
        lists.append(listed)
    started = time.perf_counter()
    senders = [
        subprocess.Popen(
            ["storescu", "-aec", "DRAS", "-nh", "127.0.0.1", str(port), *listed.read_text().split("\n")],
            stdout=subprocess.DEVNULL,
        )
        for listed in lists
    ]
    statuses = [sender.wait() for sender in senders]
    seconds = time.perf_counter() - started
    if any(statuses):
        raise RuntimeError(f"storescu ended with {statuses}")
    return seconds


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    port = free_port()
    command = ["storescp", "--fork", "+B", "-od", str(folder), "-pdu", "131072", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def node(folder: Path) -> Iterator[tuple[int, int]]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    port = free_port()
    config = folder / "pacs.toml"
    config.write_text(CONFIG.format(port=port))
    command = [sys.executable, "-m", "dras_cli.main", "pacs", "listen", "--config", str(config)]
    process = subprocess.Popen([*command, "--data", str(folder / "data"), "--json"], stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the node did not start")
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Collect the resident megabytes of a process ten times a second."""
    memory: list[float] = []
    done = threading.Event()
    page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6

    def watch() -> None:
        while not done.wait(0.1):
            memory.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page_mb)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("storescp did not start")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
