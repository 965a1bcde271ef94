"""What one run of the tests makes once, whichever of its processes asks first: scans, and what is found in them.

For what takes seconds to make and no test changes. It lies in the folder of the run and goes with it.
"""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


class Once:
    """Things by their names; who asks while one is being made waits for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def folder(self, name: str, write: Callable[[Path], object]) -> Path:
        """Return a folder, to be read only, that `write` has written into a place where nothing was."""
        place, draft = self._folder / name, self._folder / f"{name}.draft"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                shutil.rmtree(draft, ignore_errors=True)  # of a process that died over it
                write(draft)
                draft.rename(place)
        return place

    def value(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` returns, each caller a copy of its own."""

        def keep(draft: Path) -> None:
            draft.mkdir()
            with (draft / "value").open("wb") as file:
                pickle.dump(make(), file, protocol=pickle.HIGHEST_PROTOCOL)

        with (self.folder(name, keep) / "value").open("rb") as file:
            made: Made = pickle.load(file)
        return made


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What the processes of this run share, and no other run."""
    own = tmp_path_factory.getbasetemp()
    return Once((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once")
