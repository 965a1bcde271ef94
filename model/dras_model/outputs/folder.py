"""A folder that appears complete or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder beside `path`, which takes its place when the block ends well.

    A folder that holds something is replaced only with `overwrite`. Raises SetupRefused
    OUTPUT_NOT_WRITABLE; whatever the block raises removes the draft and leaves `path` as it was.
    """
    if path.exists() and not path.is_dir():
        raise _refused(path, "a file has that name")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise _refused(path, "it is not empty")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as fault:
        raise _refused(path, fault.strerror or "no draft can be made beside it") from fault
    try:
        yield draft
        draft.chmod(0o755)  # mkdtemp makes it private
        _replace(path, draft)
    except OSError as fault:
        raise _refused(path, fault.strerror or "writing failed") from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replace(path: Path, draft: Path) -> None:
    """Put the draft in the place of `path`; the old content goes only when the new is there."""
    if not path.exists():
        draft.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    path.rename(old)  # an empty folder gives way to a folder
    try:
        draft.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _refused(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(path), reason=reason)
