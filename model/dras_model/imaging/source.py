"""A path becomes a flat list of files: a folder is walked, a zip or tar is unpacked by `archive`.

Archives inside an archive stay closed. What the files mean is `series`' and `nifti`'s business.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dras_model.imaging.archive import ArchiveLimits, Members, open_members, unpack
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused

__all__ = ["ArchiveLimits", "open_source"]


@contextmanager
def open_source(
    path: Path, *, limits: ArchiveLimits | None = None, scratch: Path | None = None
) -> Iterator[list[Path]]:
    """Yield the regular files of a folder, an archive or a single file, sorted by name.

    An archive is unpacked to a temporary folder, in `scratch` where that is given, that lives as long as the
    context.
    Raises StudyRefused: NOT_FOUND, ARCHIVE_INVALID, ARCHIVE_TOO_LARGE; SetupRefused
    OUTPUT_NOT_WRITABLE where the temporary folder cannot be written.
    """
    found = _look(path)
    if isinstance(found, list):
        yield found
        return
    with _temporary_folder(scratch) as folder:
        unpack(found, path, folder, limits=limits or ArchiveLimits())
        yield sorted(folder.iterdir())


def _look(path: Path) -> list[Path] | Members:
    """Return the files of a folder, the file itself, or how to read the archive; NOT_FOUND for the rest."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _walk(path)
        if stat.S_ISREG(mode):
            return open_members(path) or [path]
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        place = getattr(error, "filename", None) or path
        raise StudyRefused(Code.NOT_FOUND, path=str(place)) from error
    raise StudyRefused(Code.NOT_FOUND, path=str(path))


def _walk(folder: Path) -> list[Path]:
    """List the regular files below `folder`, through links, each folder once; OSError where one is shut.

    A subfolder that cannot be read would make half a study, so it is no less an error than the folder.
    """

    def fail(error: OSError) -> None:
        raise error

    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        files.extend(file for name in names if (file := Path(place, name)).is_file())
    return sorted(files)


@contextmanager
def _temporary_folder(place: Path | None) -> Iterator[Path]:
    try:
        temporary = tempfile.TemporaryDirectory(prefix="dras-source-", dir=place, ignore_cleanup_errors=True)
    except OSError as error:
        found = Path(error.filename).parent if error.filename else "for temporary files (TMPDIR)"
        reason = error.strerror or "no folder can be made there"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(found), reason=reason) from error
    with temporary as folder:
        yield Path(folder)
