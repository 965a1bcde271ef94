"""Arrays as a NumPy archive: written so that equal content gives equal bytes, read so that a damaged file is told.

`numpy.savez` notes the time of writing in the archive, and leaves a damaged file open.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell
_LEVEL = 1


class ArchiveError(ValueError):
    """A file is no archive of arrays; the text says why, as the end of a sentence."""


def write_npz(path: Path, arrays: Mapping[str, Any], *, compressed: bool) -> None:
    """Write arrays by name, in their order."""
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            archive.writestr(entry, content.getbuffer(), method, compresslevel=_LEVEL)


def read_npz(path: Path) -> dict[str, Any]:
    """Read every array by its name. Raises ArchiveError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as fault:
        raise ArchiveError("it cannot be read") from fault
