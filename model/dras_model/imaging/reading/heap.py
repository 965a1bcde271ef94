"""Has many files sorted by a process of their own, and members taken out of archives; no byte is parsed here.

A file that brings the process down does not stop the others: the files are halved until it is alone, and it is told
as damaged.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from dras_model.imaging.reading.limits import LEAST_CPU_S, WALL_PER_CPU, Limits, limits_for
from dras_model.imaging.reading.messages import FileSorted, FilesSorted, TakenOut
from dras_model.imaging.reading.parent import ReaderDefect, converse
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

AT_ONCE = 1000  # files a process; its start costs as much as a few hundred headers
HEAVY_BYTES, HEAVY_AT_ONCE = (
    32 << 20,
    1 << 30,
)  # files of which whole contents may be inflated; a GB of them a process
_CPU_S_PER_FILE = 0.05  # a header takes a hundredth of it
_CPU_S_PER_MB = 0.2  # of archives; inflating takes a tenth of it
_DAMAGED = (FileSorted(members=(), what="damaged", study_uid="", instance=""),)


def sort_elsewhere(paths: Sequence[Path]) -> Iterator[tuple[FileSorted, ...]]:
    """Yield what each file is, and which study it belongs to; of an archive, its members.

    Raises SetupRefused READER_UNAVAILABLE, OUTPUT_NOT_WRITABLE.
    """
    for chunk in _chunks(paths):
        yield from _sorted(chunk)


def take_out_elsewhere(archive: Path, members: Sequence[tuple[int, ...]], folder: Path) -> None:
    """Write members of an archive to `folder`, which is there. Raises as `parent.read_elsewhere` does."""
    with tempfile.TemporaryDirectory(prefix="dras-source-", dir=folder.parent) as scratch:
        request: dict[str, object] = {
            "source": str(archive),
            "members": members,
            "into": str(folder),
            "scratch": scratch,
        }
        answer = _ask(request, limits_for(archive))
    if not isinstance(answer, TakenOut):
        raise StudyRefused(Code.READER_CRASHED, how="an answer to another question")


def _sorted(paths: Sequence[Path]) -> Sequence[tuple[FileSorted, ...]]:
    try:
        with tempfile.TemporaryDirectory(prefix="dras-source-", ignore_cleanup_errors=True) as scratch:
            answer = _ask({"sort": [str(path) for path in paths], "scratch": scratch}, _limits(paths))
        if isinstance(answer, FilesSorted) and len(answer.files) == len(paths):
            return answer.files
    except (StudyRefused, ReaderDefect):
        pass
    if len(paths) == 1:
        return [_DAMAGED]
    middle = len(paths) // 2
    return [*_sorted(paths[:middle]), *_sorted(paths[middle:])]


def _chunks(paths: Sequence[Path]) -> Iterator[list[Path]]:
    chunk: list[Path] = []
    n_bytes = 0
    for path in paths:
        size = _size(path)
        heavy = size if size > HEAVY_BYTES else 0
        if len(chunk) == AT_ONCE or (chunk and n_bytes + heavy > HEAVY_AT_ONCE):
            yield chunk
            chunk, n_bytes = [], 0
        chunk.append(path)
        n_bytes += heavy
    if chunk:
        yield chunk


def _limits(paths: Sequence[Path]) -> Limits:
    megabytes = sum(map(_size, paths)) / 1e6
    cpu_s = LEAST_CPU_S + _CPU_S_PER_FILE * len(paths) + _CPU_S_PER_MB * megabytes
    return Limits(cpu_s=round(cpu_s), wall_s=cpu_s * WALL_PER_CPU)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _ask(request: dict[str, object], limits: Limits) -> object:
    answer, _ = converse({**request, "limits": asdict(limits), "parent": os.getpid()}, None, limits)
    return answer
