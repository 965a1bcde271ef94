"""A real `dras pacs listen` as a process, small studies by code, and DCMTK's commands to send them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from dras_model.imaging.phantom_dicom import Edit, SeriesOptions, write_series
from dras_model.imaging.volume import Grid, Volume
from dras_service.settings import Settings
from dras_service.store.engine import open_engine
from dras_service.store.rows import Job
from dras_service.store.store import Store
from memory import as_delivered
from pacs_servers import program
from servers import free_port

AFFINE = np.array(  # rows are LPS, columns (z, y, x): slices of 5 mm
    [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def tiny_study(
    folder: Path, seed: int, *, n_slices: int = 6, edit: Edit | None = None, **options: Any
) -> Path:
    """Noise in the form of a chest CT: what matters here is how it travels."""
    random = np.random.default_rng(seed)
    hu = random.integers(-1000, 200, (n_slices, 32, 32)).astype(np.float32)
    grid = Grid((n_slices, 32, 32), AFFINE)
    write_series(Volume(hu, grid), folder, SeriesOptions(seed=seed, edit=edit, **options))
    return folder


def uid_of(study: Path) -> str:
    return str(pydicom.dcmread(next(study.iterdir()), stop_before_pixels=True).StudyInstanceUID)


class Node:
    """One node over a data folder."""

    def __init__(self, folder: Path, config: str, *, data: Path | None = None, **environment: str) -> None:
        self.folder = folder
        self.data = data or folder / "data"
        self.port = free_port()
        self.config = folder / "pacs.toml"
        self.config.write_text(f'[node]\nae_title = "DRAS"\nport = {self.port}\n{config}')
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "dras_cli.main", "pacs", "listen", "--config", str(self.config)]
        with (self.folder / "node.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=as_delivered(os.environ) | {"DRAS_LOG_LEVEL": "INFO"} | self.environment,
            )
        line = self.process.stdout.readline()
        assert line, self.log
        assert json.loads(line)["port"] == self.port

    @property
    def log(self) -> str:
        return (self.folder / "node.log").read_text()

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmRSS:")[1].split()[0])

    def end(self, number: int = signal.SIGTERM) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status

    def store(self) -> Store:
        settings = Settings(data=self.data)
        return Store(open_engine(settings.store_url))

    def jobs(self, study_uid: str, tenant: str = "default") -> tuple[Job, ...]:
        store = self.store()
        try:
            return store.jobs.of_study(study_uid, tenant=tenant)
        finally:
            store.close()

    def n_files(self, job: Job) -> int:
        store = self.store()
        try:
            return store.jobs.study(job.study_key, tenant=job.tenant).n_files
        finally:
            store.close()

    def waiting(self) -> list[Path]:
        """Images that are kept and not submitted yet."""
        return list((self.data / "gathering").glob("*/*/*/*.dcm"))


def storescu(
    node: Node, *paths: Path, caller: str = "SCANNER", called: str = "DRAS", options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Send files by DCMTK, over one association."""
    command = [program("storescu"), "-aet", caller, "-aec", called, "+sd", "+r", *options]
    return subprocess.run(
        [*command, "127.0.0.1", str(node.port), *map(str, paths)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
