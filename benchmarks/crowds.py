"""What the gateway bears of large and of slow uploads at once; many small ones are `gateway.py`'s.

Fifty studies of 300 MB arrive together, then 500 clients send a few bytes a second while others go on. A process of
its own asks for health all along.

    python benchmarks/crowds.py --json benchmarks/results/crowds.json
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gateway import (
    SMALL_BYTES,
    Gateway,
    one_by_one,
    raise_descriptor_limit,
    small_uploads,
    spread,
    started,
    wait_ready,
    with_pulse,
)
from report import RESULTS, keep

SLOW_PAUSE_S = 0.5
SLOW_BYTES = bytes(64)


async def large_uploads(gateway: Gateway, n: int, n_bytes: int) -> dict[str, Any]:
    """All at once, each another study."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(gateway.upload(b"large %08d" % number, n_bytes) for number in range(n)))
    seconds = time.perf_counter() - began
    return {
        "n": n,
        "mb_each": n_bytes / 1e6,
        "statuses": {
            str(status): count for status, count in Counter(answer[0] for answer in answers).items()
        },
        "mb_per_s": round(n * n_bytes / 1e6 / seconds),
        "from_last_byte": spread([answer[2] for answer in answers]),
    }


@contextlib.asynccontextmanager
async def slow_clients(gateway: Gateway, n: int):
    """Have `n` uploads under way that never come to an end by themselves."""
    crawling = [asyncio.create_task(crawl(gateway)) for _ in range(n)]
    try:
        yield
    finally:
        for client in crawling:
            client.cancel()
        await asyncio.gather(*crawling, return_exceptions=True)


async def crawl(gateway: Gateway) -> None:
    """Send a few bytes again and again."""
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: 1000000\r\n\r\n"
    )
    try:
        while True:
            writer.write(SLOW_BYTES)
            await writer.drain()
            await asyncio.sleep(SLOW_PAUSE_S)
    finally:
        writer.close()


async def measure(gateway: Gateway, *, n_large: int, large_mb: int, n_slow: int) -> dict[str, Any]:
    """Return what each crowd was answered and what it cost."""
    await wait_ready(gateway)
    gateway.forget_peak()
    uploads, health = await with_pulse(gateway, large_uploads(gateway, n_large, large_mb * 1_000_000))
    report = {"large": uploads | {"health": health, "peak_rss_mb": round(gateway.memory_mb("VmHWM"))}}
    gateway.forget_peak()
    await small_uploads(gateway, 100)  # opens every connection to the database that it keeps
    before = gateway.n_descriptors
    async with slow_clients(gateway, n_slow):
        await asyncio.sleep(3)
        held = gateway.n_descriptors - before
        small, health = await with_pulse(gateway, one_by_one(gateway, SMALL_BYTES, 60, 50_000_000))
    await asyncio.sleep(3)
    report["slow"] = {
        "n": n_slow,
        "descriptors_each": round(held / n_slow, 2),
        "descriptors_left": gateway.n_descriptors - before,
        "others_from_last_byte": small,
        "health": health,
        "peak_rss_mb": round(gateway.memory_mb("VmHWM")),
    }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", type=int, default=50)
    parser.add_argument("--large-mb", type=int, default=300)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; a temporary one by default")
    parser.add_argument("--port", type=int, default=18_098)
    parser.add_argument("--json", type=Path, default=RESULTS / "crowds.json")
    given = parser.parse_args()
    raise_descriptor_limit()
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        started(Path(folder), given.port) as gateway,
    ):
        report = asyncio.run(
            measure(gateway, n_large=given.large, large_mb=given.large_mb, n_slow=given.slow)
        )
    print(json.dumps(report, indent=1))
    keep(report, given.json)


if __name__ == "__main__":
    main()
