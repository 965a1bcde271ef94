"""Files of a fetch: each under a digest of its SOP Instance UID, complete or not there."""

import hashlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_PART = ".part"


def file_name(sop_instance_uid: str) -> str:
    """Return the name of an image's file: what another system calls it never becomes a path."""
    return f"{hashlib.sha256(sop_instance_uid.encode()).hexdigest()[:32]}.dcm"


class Harvest:
    """A folder that images are fetched into."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.n_new = 0
        for remnant in folder.glob(f"*{_PART}"):
            remnant.unlink(missing_ok=True)

    @property
    def n_files(self) -> int:
        """How many images are there."""
        return sum(1 for _ in self._folder.glob("*.dcm"))

    def lacks(self, sop_instance_uids: Iterable[str]) -> list[str]:
        """Return those that are not there yet, in their order, each once."""
        return [
            uid for uid in dict.fromkeys(sop_instance_uids) if not (self._folder / file_name(uid)).exists()
        ]

    def open_part(self) -> tuple[BinaryIO, Path]:
        """Open a file for an image whose name is not known yet."""
        path = self._folder / f"{uuid.uuid4().hex}{_PART}"
        return path.open("xb"), path

    def keep(self, part: Path, sop_instance_uid: str) -> None:
        """Give a complete image, closed, its name; one that is there already stays."""
        target = self._folder / file_name(sop_instance_uid)
        if target.exists():
            part.unlink()
            return
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(target)
        self.n_new += 1
