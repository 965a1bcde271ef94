"""What the tests of batches share: one cohort in a folder, and `dras batch` as a process."""

import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from integration.batch.cohort import N_CHESTS, pack, write_cohort

WITHIN_S = 300.0 + 60.0 * N_CHESTS


@pytest.fixture(scope="package")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree: two studies mixed in a folder, one in a zip, and those with a fault."""
    folder = tmp_path_factory.mktemp("batch") / "scans"
    write_cohort(folder)
    pack(folder / "subject002", folder / "archived" / "study.zip")
    (folder / "notes.txt").write_text("no image")
    return folder


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "dras_cli.main", "batch", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def batch(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, errors = process.communicate(timeout=WITHIN_S)
    assert "Traceback" not in errors
    return process.returncode, out, errors


def cases(out: Path) -> list[tuple[str, str, str | None]]:
    """Name, state and code of every case, as the ledger has them."""
    connection = sqlite3.connect(f"file:{out / 'ledger.sqlite3'}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT name, state, code FROM cases").fetchall()
    finally:
        connection.close()


def states(out: Path) -> Counter[str]:
    try:
        return Counter(state for _, state, _ in cases(out))
    except sqlite3.OperationalError:  # not there yet
        return Counter()
