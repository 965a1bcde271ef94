"""What the gateway bears: a thousand small uploads at once, one study twenty times, and a few gigabytes in one.

The gateway is a process of its own without a worker; clients are bare sockets of this one, so that their cost is
small beside its. A third asks for health ten times a second throughout. The floor of an upload is what the disk
alone takes to make a file and a row durable, in the same run; only ratios to it mean anything on another machine.

    python benchmarks/gateway.py --json benchmarks/results/gateway.json
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import resource
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from report import RESULTS, keep

from dras_service.gateway.app import create_app
from dras_service.gateway.server import BACKLOG, Server
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.store import Store

SMALL_BYTES = 32 << 10
LARGE_BYTES = 64 << 20
BLOCK = bytes(1 << 20)
SEQUENTIAL = 60
HEALTH_EVERY_S = 0.1


def serve(data: Path, port: int) -> None:
    """Be the gateway."""
    raise_descriptor_limit()
    settings = Settings(data=data)
    store = Store(open_engine(settings.store_url))
    store.migrate()
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    app = create_app(store=store, blobs=blobs, hints=Hints(create_celery(settings)), settings=settings)
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listener:
        Server(app, settings.gateway).run(sockets=[listener])


class Gateway:
    """The other process, and what it costs."""

    def __init__(self, data: Path, port: int) -> None:
        self.port = port
        command = [sys.executable, __file__, "--serve", str(data), "--port", str(port)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def memory_mb(self, field: str) -> float:
        """VmRSS is now, VmHWM the most so far (proc(5))."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    @property
    def n_descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    async def ask(self, path: str) -> tuple[int, float]:
        """GET; return status and seconds."""
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        status = await _status(reader)
        writer.close()
        return status, time.perf_counter() - started

    async def upload(self, head: bytes, n_bytes: int) -> tuple[int, float, float]:
        """POST `head` and zeros behind it; return status, seconds in all, and seconds from the last byte on."""
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            b"POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % n_bytes
        )
        writer.write(head)
        left = n_bytes - len(head)
        while left > 0:
            writer.write(BLOCK[:left])
            left -= len(BLOCK)
            await writer.drain()
        await writer.drain()
        sent = time.perf_counter()
        status = await _status(reader)
        writer.close()
        return status, time.perf_counter() - started, time.perf_counter() - sent


async def _status(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    await reader.read()
    return int(line.split()[1]) if line else 0


def pulse(port: int) -> None:
    """Ask for health again and again until standard input closes, then print what each took."""
    seconds = []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], HEALTH_EVERY_S)[0]:
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


async def with_pulse(gateway: Gateway, work: Any) -> tuple[Any, dict[str, float]]:
    """Await `work` while another process, which nothing else keeps busy, asks for health."""
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--pulse", "--port", str(gateway.port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert asking.stdout is not None
    await asking.stdout.readline()  # it imports what this does
    done = await work
    said, _ = await asking.communicate(b"")  # closes its standard input
    return done, spread(json.loads(said))


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and most, in milliseconds."""
    p99 = quantiles(seconds, n=100, method="inclusive")[98] if len(seconds) > 1 else seconds[0]
    told = {"median_ms": median(seconds), "p99_ms": p99, "most_ms": max(seconds)}
    return {name: round(1000 * value, 1) for name, value in told.items()} | {"n": len(seconds)}


async def small_uploads(gateway: Gateway, n: int) -> dict[str, Any]:
    """All at once, each another study."""

    async def one(number: int) -> tuple[int, float]:
        status, seconds, _ = await gateway.upload(b"%08d" % number, SMALL_BYTES)
        return status, seconds

    started = time.perf_counter()
    answers = await asyncio.gather(*(one(number) for number in range(n)))
    return {
        "n": n,
        "statuses": {str(status): count for status, count in Counter(s for s, _ in answers).items()},
        "seconds": round(time.perf_counter() - started, 2),
        "each": spread([seconds for _, seconds in answers]),
    }


async def same_study(gateway: Gateway, n: int) -> dict[str, int]:
    answers = await asyncio.gather(*(gateway.upload(b"the same", 1 << 20) for _ in range(n)))
    return {str(status): count for status, count in Counter(answer[0] for answer in answers).items()}


async def one_by_one(gateway: Gateway, n_bytes: int, n: int, first: int) -> dict[str, float]:
    """What an upload takes from its last byte to its answer, with nothing else going on."""
    waits = []
    for number in range(first, first + n):
        status, _, wait = await gateway.upload(b"%08d" % number, n_bytes)
        assert status == 202, status
        waits.append(wait)
    return spread(waits)


def disk_floor(folder: Path, n: int) -> dict[str, float]:
    """What a durable file and a durable row take by themselves: the least that an honest 202 costs."""
    connection = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (x TEXT)")
    seconds = []
    for number in range(n):
        started = time.perf_counter()
        path = folder / f"floor-{number}"
        with path.open("wb") as file:
            file.write(BLOCK[:SMALL_BYTES])
            file.flush()
            os.fsync(file.fileno())
        path.rename(folder / f"kept-{number}")
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        connection.execute("INSERT INTO t VALUES ('a row')")
        seconds.append(time.perf_counter() - started)
    connection.close()
    return spread(seconds)


async def measure(gateway: Gateway, folder: Path, *, n_small: int, large_gb: float) -> dict[str, Any]:
    await wait_ready(gateway)
    report: dict[str, Any] = {}
    report["idle_health"] = (await with_pulse(gateway, asyncio.sleep(5)))[1]
    report["floor"] = disk_floor(folder, SEQUENTIAL)
    report["small_from_last_byte"] = await one_by_one(gateway, SMALL_BYTES, SEQUENTIAL, 10_000_000)
    report["large_from_last_byte"] = await one_by_one(gateway, LARGE_BYTES, 5, 20_000_000)
    report["idle_rss_mb"] = round(gateway.memory_mb("VmRSS"))
    before = gateway.n_descriptors
    gateway.forget_peak()
    uploads, health = await with_pulse(gateway, small_uploads(gateway, n_small))
    report["small_at_once"] = uploads | {"health": health, "peak_rss_mb": round(gateway.memory_mb("VmHWM"))}
    report["same_study_20_times"] = await same_study(gateway, 20)
    gateway.forget_peak()
    rest = gateway.memory_mb("VmRSS")
    n_bytes = int(large_gb * (1 << 30))
    (status, seconds, wait), health = await with_pulse(gateway, gateway.upload(b"gigabytes", n_bytes))
    report["one_large"] = {
        "gb": large_gb,
        "status": status,
        "mb_per_s": round(n_bytes / 1e6 / seconds),
        "from_last_byte_ms": round(1000 * wait, 1),
        "grew_mb": round(gateway.memory_mb("VmHWM") - rest, 1),
        "health": health,
    }
    await asyncio.sleep(1)
    report["descriptors_left"] = gateway.n_descriptors - before
    return report


async def wait_ready(gateway: Gateway) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            if (await gateway.ask("/healthz"))[0] == 200:
                return
        await asyncio.sleep(0.1)
    raise SystemExit("the gateway does not start")


@contextlib.contextmanager
def started(folder: Path, port: int) -> Iterator[Gateway]:
    gateway = Gateway(folder / "data", port)
    try:
        yield gateway
    finally:
        gateway.end()


def raise_descriptor_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--large-gb", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; a temporary one by default")
    parser.add_argument("--port", type=int, default=18_099)
    parser.add_argument("--json", type=Path, default=RESULTS / "gateway.json")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pulse", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pulse:
        pulse(given.port)
        return
    if given.serve:
        serve(given.serve, given.port)
        return
    raise_descriptor_limit()
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        started(Path(folder), given.port) as gateway,
    ):
        report = asyncio.run(measure(gateway, Path(folder), n_small=given.uploads, large_gb=given.large_gb))
    print(json.dumps(report, indent=1))
    keep(report, given.json)


if __name__ == "__main__":
    main()
