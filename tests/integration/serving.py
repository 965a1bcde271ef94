"""The real `dras serve` as a process of its own, and what a test must know of its children."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FILES_OF_A_RUN = [
    "feature_map.nii.gz",
    "features.npz",
    "key_images.npz",
    "laa_map.nii.gz",
    "lungs.nii.gz",
    "patches.csv",
    "patches.parquet",
    "qc.png",
    "regions.csv",
    "regions.parquet",
    "report.html",
    "report.pdf",
    "result.json",
]
FILES_OF_A_JOB = [
    *FILES_OF_A_RUN,
    "view.nii.gz",
    "view_low.nii.gz",
    "view_lungs.nii.gz",
]  # the page's as well


START_WITHIN_S = 60.0


class Serving:
    """A running service over a folder of its own."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self.data = data
        command = [
            sys.executable,
            "-m",
            "dras_cli.main",
            "serve",
            "--port",
            "0",
            "--data",
            str(data),
            "--json",
        ]
        self.process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        line = self.process.stdout.readline()
        self.url = json.loads(line)["url"] if line else ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status; kill what does not end."""
        self.process.send_signal(number)
        try:
            status = self.process.wait(30)
        finally:
            self.process.kill()
            self.errors = self.process.stderr.read()
            self.process.stdout.close()
            self.process.stderr.close()
        return status

    @property
    def worker_pid(self) -> int:
        """The worker's own process, which computes nothing."""
        (pid,) = children_of(self.process.pid)
        return pid

    @property
    def pool_pid(self) -> int:
        """The worker's child, which computes."""
        (pid,) = children_of(self.worker_pid)
        return pid

    def rows(self, query: str) -> list[tuple]:
        """Read the database."""
        connection = sqlite3.connect(f"file:{self.data / 'jobs.sqlite3'}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def files(self, folder: str) -> list[Path]:
        """List what lies in one folder of the blobs."""
        return sorted((self.data / "blobs" / folder).iterdir())


def children_of(pid: int) -> list[int]:
    """Return the processes whose parent is `pid` (proc(5): field 4 of stat, after the name in brackets)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Poll a condition; fail with what it was about."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.02)
