"""A folder, or a file, that appears complete or not at all.

Whether the place can be written is found out before anything is computed for it. A new folder is made
beside its place and renamed; a folder that exists stays where it is, as it may be a mount point or where
somebody stands, and what it holds is exchanged.
"""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

_PREFIX = ".dras-"
_LAST = "result.json"  # goes first and comes last: where it lies, the outputs beside it are its own
_WRITERS_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder, whose content is found at `path` when the block ends well.

    A folder that holds something is replaced only with `overwrite`. Raises SetupRefused
    OUTPUT_NOT_WRITABLE; whatever the block raises removes the draft and leaves `path` as it was.
    """
    with _told(path):
        place = path.resolve()
        exists = _check(place, path, overwrite=overwrite)
        made = [] if exists else _make_parents(place)
    draft: Path | None = None
    complete = False
    try:
        with _told(path):
            draft = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place if exists else place.parent))
        with _writers_faults_told(path, draft):
            yield draft
        with _told(path):
            if exists:
                _exchange(place, draft, path, overwrite=overwrite)
            else:
                draft.chmod(0o755)  # mkdtemp makes it private
                draft.rename(place)
        complete = True
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        if not complete:
            _remove(made)


def refuse_to_replace(out: Path, read: Path) -> None:
    """Refuse an output place that holds what is read, which `overwrite` would take away.

    Raises SetupRefused OUTPUT_NOT_WRITABLE.
    """
    with _told(out):
        if read.resolve().is_relative_to(out.resolve()):
            raise _refused(out, f"{read.name} lies in it; choose another folder")


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the place of a draft, which is found at `path` when the block ends well.

    A file is replaced only with `overwrite`. Raises SetupRefused OUTPUT_NOT_WRITABLE; whatever the block raises
    removes the draft and leaves `path` as it was.
    """
    with _told(path):
        place = path.resolve()
        if place.is_dir():
            raise _refused(path, "it is a folder")
        if place.exists() and not overwrite:
            raise _refused(path, "it exists")
        made = _make_parents(place)
    draft: Path | None = None
    complete = False
    try:
        with _told(path):
            draft = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place.parent))
        with _writers_faults_told(path, draft):
            yield draft / place.name
        with _told(path):
            (draft / place.name).replace(place)
        complete = True
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        if not complete:
            _remove(made)


def _check(place: Path, path: Path, *, overwrite: bool) -> bool:
    """Return whether there is a folder; SetupRefused where it or something else is in the way."""
    if not place.exists():
        return False
    if not place.is_dir():
        raise _refused(path, "a file has that name")
    if any(place.iterdir()) and not overwrite:
        raise _refused(path, "it is not empty")
    return True


def _make_parents(place: Path) -> list[Path]:
    """Make the folders that lead to `place`; return those that were missing, the deepest first."""
    missing = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.exists()  # raises for a name that is too long, now that there is a folder to look in
    except OSError:
        _remove(missing)
        raise
    return missing


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # never made, or somebody else has put something there
            folder.rmdir()


def _exchange(place: Path, draft: Path, path: Path, *, overwrite: bool) -> None:
    """Move the old entries out of `place` and the draft's in; every move is taken back where one fails."""
    old = [entry for entry in place.iterdir() if entry != draft]
    if old and not overwrite:
        raise _refused(path, "something was put there in the meantime")
    attic = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    moves = [(entry, attic / entry.name) for entry in sorted(old, key=_is_last, reverse=True)]
    moves += [(entry, place / entry.name) for entry in sorted(draft.iterdir(), key=_is_last)]
    done: list[tuple[Path, Path]] = []
    try:
        for entry, target in moves:
            entry.rename(target)
            done.append((entry, target))
    except BaseException:
        for entry, target in reversed(done):
            target.rename(entry)
        attic.rmdir()
        raise
    shutil.rmtree(attic, ignore_errors=True)


def _is_last(entry: Path) -> bool:
    return entry.name == _LAST


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell the faults of a place as its refusal. RuntimeError: links in a circle; ValueError: a zero byte."""
    try:
        yield
    except OSError as fault:
        raise _refused(path, fault.strerror or "writing failed") from fault
    except (RuntimeError, ValueError) as fault:
        raise _refused(path, "no place has that name") from fault


@contextmanager
def _writers_faults_told(path: Path, draft: Path) -> Iterator[None]:
    """Tell a fault of writing into the draft as the refusal of `path`; let all others pass.

    Only opening a file names it; a full disk shows in writing, which names none.
    """
    try:
        yield
    except OSError as fault:
        named = isinstance(fault.filename, str | Path)
        below = named and Path(fault.filename).is_relative_to(draft)
        if (below and fault.errno in _WRITERS_FAULTS) or (not named and fault.errno in _FULL):
            raise _refused(path, fault.strerror or "writing failed") from fault
        raise


def _refused(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(path), reason=reason)
