"""The code blocks of the documents, run page by page as a reader types them; a marker says why one is not.

One phantom, made and scored by the tutorial's own commands, and one service serve all pages. A command by itself is
called in this process, which saves the start of an interpreter; whatever needs a shell gets one.
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from documents.blocks import PAGES, ROOT, Block, blocks_of
from dras_cli.main import main
from dras_client import Client
from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.nifti import write_nifti
from dras_model.library import open_atlas, open_bundle
from dras_service.api.jobs import JobState

TUTORIAL = ROOT / "docs/tutorial.md"
ADDRESS = "http://127.0.0.1:8042"
QUOTED_OR_TOLD = re.compile(r"'[^']*'|#.*")
FOR_A_SHELL = re.compile(r"[|;&<>$*\\]")


def to_run(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language in ("sh", "python") and block.reason is None]


def is_plain(line: str) -> bool:
    """Whether a line is a command of ours and nothing more."""
    return line.startswith("dras ") and not FOR_A_SHELL.search(QUOTED_OR_TOLD.sub("", line))


class Reader:
    """Types the blocks of a page in a folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.names: dict[str, object] = {}
        programs = folder / ".programs"
        programs.mkdir()
        dras = programs / "dras"
        dras.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dras_cli.main "$@"\n')
        dras.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DRAS_URL": url,
            "DRAS": url,  # what pages of curl call it
            "DRAS_API_KEY": "one that nobody asks for",
        }

    def read(self, page: Path, written: Mapping[str, str] = MappingProxyType({})) -> None:
        for block in to_run(page):
            text = block.text.replace(ADDRESS, self.url)
            for name, value in written.items():
                text = text.replace(name, value)
            with contextlib.chdir(self.folder):
                (self.python if block.language == "python" else self.shell)(text, str(block))

    def python(self, text: str, where: str) -> None:
        exec(compile(text, where, "exec"), self.names)  # one page, one program

    def shell(self, text: str, where: str) -> None:
        lines = [line for line in text.splitlines() if line.strip()]
        if all(is_plain(line) for line in lines):
            with patch.dict(os.environ, {"DRAS_URL": self.url}):
                statuses = [main(shlex.split(line, comments=True)[1:]) for line in lines]
            assert not any(statuses), f"{where}: {statuses}"
            return
        done = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                text.replace("curl ", "curl --silent --show-error --fail-with-body "),
            ],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{where}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def tutorial(serving, tmp_path_factory) -> Reader:
    """Who has read the tutorial: STUDY and its result OUT lie in the folder."""
    reader = Reader(tmp_path_factory.mktemp("tutorial"), serving.url)
    reader.read(TUTORIAL)
    return reader


@pytest.fixture
def reader(tutorial, tmp_path) -> Reader:
    """A reader of another page, who has what most of them speak of."""
    made = Reader(tmp_path, tutorial.url)
    for name in ("STUDY", "OUT"):
        (tmp_path / name).symlink_to(tutorial.folder / name)
    (tmp_path / "study").symlink_to(tutorial.folder / "STUDY")
    return made


def for_the_interface(folder: Path) -> None:
    """What is no study costs no computing; that it is taken is what the page shows."""
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        archive.writestr("note.txt", "no image")


def for_outputs(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs/one").symlink_to(folder / "OUT")
    (folder / "list.txt").write_text("OUT\n")


def for_batch(folder: Path) -> None:
    """A table as a batch leaves it: that of `dras cohort` with a column more, which tests of the batch look at."""
    (folder / "scans").mkdir()
    (folder / "results").mkdir()
    table = folder / "results/cohort.parquet"
    assert main(["cohort", str(folder / "OUT"), "-o", str(table)]) == 0
    pd.read_parquet(table).assign(Source="scans/one").to_parquet(table)


def for_an_atlas(folder: Path) -> None:
    atlas = open_atlas()
    published = np.select([atlas.lungs.labels == RIGHT, atlas.lungs.labels == LEFT], [50, 100]).astype(
        np.int16
    )
    write_nifti(folder / "lungs.nii.gz", published, atlas.lungs.grid)
    np.save(folder / "corners.npy", atlas.corners)


def for_bundles(folder: Path) -> None:
    shutil.copytree(open_bundle(None, open_atlas()).path, folder / "BUNDLE")


def for_pacs(folder: Path) -> None:
    (file,) = [block.text for block in blocks_of(ROOT / "docs/pacs.md") if block.language == "toml"]
    (folder / "pacs.toml").write_text(file)


NEEDS: dict[str, Callable[[Path], None]] = {
    "README.md": for_the_interface,
    "batch.md": for_batch,
    "http-api.md": for_the_interface,
    "model-bundle.md": for_bundles,
    "outputs.md": for_outputs,
    "own-atlas.md": for_an_atlas,
    "pacs.md": for_pacs,
}


def test_the_tutorial_ends_with_a_result_of_the_service_as_well(tutorial):
    assert (tutorial.folder / "FROM-SERVICE/result.json").is_file()
    assert (tutorial.folder / "OUT/report.html").is_file()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # three lines of a reader do not close their client
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != TUTORIAL and to_run(page)], ids=lambda page: page.name
)
def test_a_page_does_what_it_says(page, reader):
    NEEDS.get(page.name, lambda _: None)(reader.folder)
    with Client(reader.url) as client:
        job = next(iter(client.jobs(states=[JobState.SUCCEEDED_WITH_WARNINGS])))
    reader.read(page, {"/JOB/": f"/{job.id}/"})
