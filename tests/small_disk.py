"""A disk that is soon full: a file system of a few megabytes, and what leaves no byte of it free."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *, size_mb: int) -> Iterator[Path]:
    """Mount a tmpfs on `folder`; only root may, and not in every container, so that else the test is skipped."""
    told = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if told.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {told.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Filler:
    """Files that leave no byte of the disk free, written again as long as others give bytes back."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "filler"

    def fill(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
