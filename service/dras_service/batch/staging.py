"""The files of one case in one place, for as long as it is computed: links to files, and members of archives.

What lies in one archive or file of its own is read where it is. Nothing is copied but what an archive holds.
"""

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dras_model.imaging.reading.heap import take_out_elsewhere
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.inventory import Member, Piece

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def staged(pieces: Sequence[Piece], root: Path, room: Path) -> Iterator[Path]:
    """Yield what the pipeline reads of a study below `root`; `room` is a new folder, gone at the end.

    Raises StudyRefused where an archive is not what it was, SetupRefused OUTPUT_NOT_WRITABLE.
    """
    if len(pieces) == 1 and pieces[0].kind in ("file", "whole archive"):
        yield root / pieces[0].place
        return
    with room_for(room):
        for number, piece in enumerate(pieces):
            if piece.kind == "folder":
                _link(piece, root, room, number)
            else:
                _unpack(piece, root, room / f"{number:06d}")
        yield room


@contextmanager
def room_for(room: Path) -> Iterator[None]:
    """Make the folder `room` for as long as it is needed. Raises SetupRefused OUTPUT_NOT_WRITABLE."""
    try:
        room.mkdir(parents=True)
        yield
    except OSError as fault:
        if fault.errno not in _FULL:
            raise
        reason = fault.strerror or "writing failed"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(room), reason=reason) from fault
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _link(piece: Piece, root: Path, room: Path, number: int) -> None:
    folder = room / f"{number:06d}"
    folder.mkdir()
    for index, name in enumerate(piece.files):
        (folder / f"{index:06d}").symlink_to((root / str(name)).resolve())


def _unpack(piece: Piece, root: Path, folder: Path) -> None:
    folder.mkdir()
    members: list[Member] = [entry for entry in piece.files if not isinstance(entry, str)]
    if members:
        take_out_elsewhere(root / piece.place, members, folder)
    else:
        (folder / "000000").symlink_to((root / piece.place).resolve())
