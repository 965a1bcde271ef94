"""Decoding on all cores: a reading process forks, and each of its copies takes a share of the files.

Threads would wait for each other: GDCM and pydicom hold the interpreter. A copy writes its planes into shared
memory and says in one line what went wrong; a copy that a codec brings down is told as that.
"""

import json
import os
from collections.abc import Callable
from typing import NoReturn

from dras_model.imaging.parallel import available_cores
from dras_model.imaging.reading.confinement import end_with_parent
from dras_model.imaging.reading.messages import Refusal, ended
from dras_model.results.codes import Code
from dras_model.results.errors import Refused, StudyRefused

MOST_COPIES = 8
LEAST_SHARE = 8  # files; forking for fewer costs more than it saves

Work = Callable[[int], None]


def in_processes(work: Work, n: int, report: Callable[[float], None]) -> None:
    """Call `work` on range(n), each copy on every k-th number. Needs a process of one thread.

    Raises the refusal of the lowest number that was refused, or that of a copy that was brought down.
    """
    n_copies = max(1, min(available_cores(), MOST_COPIES, n // LEAST_SHARE))
    copies = [_fork(work, range(place, n, n_copies)) for place in range(1, n_copies)]
    faults = [_run(work, range(0, n, n_copies), report)]
    faults += [_wait(*copy) for copy in copies]
    found = [fault for fault in faults if fault is not None]
    if found:
        raise min(found, key=lambda fault: fault[0])[1]


def _run(work: Work, share: range, report: Callable[[float], None]) -> tuple[int, Refused] | None:
    """Do a share up to its first refusal; return that with its number."""
    for done, number in enumerate(share):
        try:
            work(number)
        except Refused as refused:
            return number, refused
        except MemoryError:
            return number, StudyRefused(Code.READER_LIMIT, what="memory")
        if done % 32 == 0:
            report(done / len(share))
    return None


def _fork(work: Work, share: range) -> tuple[int, int]:
    """Start a copy on its share; return its id and where it will say how that went."""
    parent, (ours, theirs) = os.getpid(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _be_copy(work, share, parent=parent, out=theirs)
    os.close(theirs)
    return pid, ours


def _be_copy(work: Work, share: range, *, parent: int, out: int) -> NoReturn:
    status = 1
    try:
        end_with_parent(parent)
        fault = _run(work, share, lambda _fraction: None)
        if fault is not None:
            line = json.dumps([fault[0], Refusal.of(fault[1]).model_dump(mode="json")])
            os.write(out, line.encode())
        status = 0
    finally:
        os._exit(status)


def _wait(pid: int, ours: int) -> tuple[int, Refused] | None:
    """Return what a copy says, or that it was brought down."""
    said = b""
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0 and not said:
        return None
    if status == 0:
        number, content = json.loads(said)
        return number, Refusal.model_validate(content).error()
    return 0, ended(status)
