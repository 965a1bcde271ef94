"""Has a study, or a mask of it, read by a process of its own and takes the answer, which is not trusted.

The process is new for each of them and ends with it, whatever happens: an answer, a crash, a limit, an
interruption. What it leaves in its folder for temporary files goes, too. No byte of the study is parsed here.
"""

import fcntl
import json
import math
import mmap
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.reading.limits import Limits, limits_for
from dras_model.imaging.reading.messages import (
    MOST_LINE,
    Answer,
    Defect,
    Labelled,
    Progress,
    Read,
    Ready,
    Refusal,
    decode,
    ended,
)
from dras_model.imaging.volume import MOST_VOXELS, Grid
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused

_LETTING_GO_S = 2.0  # for a mapping of a process that has ended
_COMMAND = (sys.executable, "-P", "-m", "dras_model.imaging.reading.child")
# All that the process learns of our environment; settings and their secrets are not its business.
_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT", "PYTHONHOME")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_BEAT_S = 1.0  # between two reports while the process says nothing
_END_S = 60.0  # from its last word to its end, which is the system's taking back of its memory
_LONGEST_TOLD = 300  # characters of why it does not start
_MASK_BYTES = 16  # of private memory for a voxel: a value of the widest type, and its copy

ReportFraction = Callable[[float], None]


class ReaderDefect(RuntimeError):
    """The reading process met an error that nobody has sorted; the text says where."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The answer: the header, the guards that were up, and the voxels (z, y, x) where they were asked for."""

    header: Read
    guards: tuple[str, ...]
    voxels: NDArray[np.float32] | None


def read_elsewhere(
    source: Path,
    *,
    series_uid: str | None = None,
    voxels: bool,
    described: bool = False,
    report: ReportFraction = lambda _fraction: None,
    limits: Limits | None = None,
) -> Reading:
    """Read the header of a study, or its voxels too, in another process; `report` is told the fraction.

    `described` asks for what objects made of the series take over, patient data included, which is not told else.
    Raises StudyRefused with whatever the reader refuses, READER_CRASHED where it was brought down,
    READER_LIMIT where it took too much; SetupRefused READER_UNAVAILABLE; ReaderDefect; what `report` raises.
    """
    limits = limits or limits_for(source)
    with _memory() as memory, _scratch(source) as scratch:
        request: dict[str, object] = {
            "source": str(source),
            "series_uid": series_uid,
            "voxels": memory if voxels else None,
            "described": described,
            "scratch": scratch,
            "limits": asdict(limits),
            "parent": os.getpid(),
        }
        header, guards = converse(request, memory, limits, report)
        if not isinstance(header, Read):
            raise StudyRefused(Code.READER_CRASHED, how="an answer to another question")
        if header.source is not None and not described:
            raise StudyRefused(Code.READER_CRASHED, how="an answer that was not asked for")
        return Reading(header, guards, _voxels(memory, header) if voxels else None)


def labels_elsewhere(source: Path, grid: Grid, *, limits: Limits | None = None) -> NDArray[np.uint8]:
    """Read a mask in another process; return its labels (z, y, x) on `grid`, the study's.

    Raises as `read_elsewhere` does, and what `given_mask` refuses.
    """
    limits = limits or limits_for(source)
    n_voxels = math.prod(grid.shape)
    limits = replace(limits, data_bytes=limits.data_bytes + _MASK_BYTES * n_voxels)
    with _memory() as memory:
        os.ftruncate(memory, n_voxels)
        request: dict[str, object] = {
            "source": str(source),
            "grid": (grid.shape, grid.affine.ravel().tolist()),
            "voxels": memory,
            "limits": asdict(limits),
            "parent": os.getpid(),
        }
        answer, _ = converse(request, memory, limits)
        if not isinstance(answer, Labelled):
            raise StudyRefused(Code.READER_CRASHED, how="an answer to another question")
        labels: NDArray[np.uint8] = _mapped(memory, grid.shape, np.uint8)
        return labels


def converse(
    request: dict[str, object],
    memory: int | None,
    limits: Limits,
    report: ReportFraction = lambda _fraction: None,
) -> tuple[Answer, tuple[str, ...]]:
    """Run the process to its end; return its answer and the guards. Raises as `read_elsewhere` does."""
    guards: tuple[str, ...] | None = None
    answer: Answer | None = None
    fraction = 0.0
    with _running(memory) as process:
        content = json.dumps(request).encode() + b"\n"
        for line in _lines(process, content, limits.wall_s, beat=lambda: report(fraction)):
            try:
                message = decode(line)
                refused = message.error() if isinstance(message, Refusal) else None
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise StudyRefused(Code.READER_CRASHED, how="an answer that is none") from error
            match message:
                case Ready():
                    guards = message.guards
                case Progress():
                    report(fraction := message.fraction)
                case Defect():
                    raise ReaderDefect(message.where)
                case _ if not isinstance(message, Refusal):
                    answer = message
            if refused is not None:
                raise refused
        status = _status(process)
        if guards is None:
            raise SetupRefused(Code.READER_UNAVAILABLE, reason=_last_words(process, status))
    if answer is None or status != 0:
        raise ended(status)
    return answer, guards


@contextmanager
def _running(memory: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process and see to its end, and to that of what it may have started."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment |= _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=() if memory is None else (memory,),
            env=environment,
            start_new_session=True,  # an interrupt from the keyboard is ours to pass on
        )
    except OSError as error:
        raise SetupRefused(Code.READER_UNAVAILABLE, reason=error.strerror or "no process") from error
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _lines(
    process: subprocess.Popen[bytes], request: bytes, wall_s: float, *, beat: Callable[[], None]
) -> Iterator[bytes]:
    """Send the request and yield the answer's lines until the process closes its end of the pipe."""
    deadline = time.monotonic() + wall_s
    with suppress(BrokenPipeError), _open(process.stdin) as stdin:  # its end says more than this error
        stdin.write(request)
    waiting = b""
    with selectors.DefaultSelector() as selector, _open(process.stdout) as stdout:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            if time.monotonic() > deadline:
                raise StudyRefused(Code.READER_LIMIT, what="time")
            if not selector.select(_BEAT_S):
                beat()
                continue
            chunk = os.read(stdout.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, waiting = (waiting + chunk).split(b"\n")
            if len(waiting) > MOST_LINE:
                raise StudyRefused(Code.READER_CRASHED, how="an answer without end")
            yield from lines


def _status(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process that has closed its end of the pipe; one that goes on has no more time."""
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired as error:
        raise StudyRefused(Code.READER_LIMIT, what="time") from error


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ReaderDefect("a pipe is missing")
    return stream


def _last_words(process: subprocess.Popen[bytes], status: int) -> str:
    """Say why the process did not start; it had not seen the study, so that its words can be shown."""
    words = _open(process.stderr).read(1 << 16).decode(errors="replace").strip().splitlines()
    return words[-1][:_LONGEST_TOLD] if words else f"it ended with status {status}"


@contextmanager
def _memory() -> Iterator[int]:
    """Yield a descriptor of memory without a name, or of a file without one where there is no such memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("dras-volume", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile(prefix="dras-volume-") as file:
            descriptor = os.dup(file.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _scratch(source: Path) -> Iterator[str | None]:
    """Yield a folder where an archive can be unpacked, None where it is not needed or cannot be made.

    The process says itself which place it cannot write to, if it comes to that.
    """
    folder = None
    if source.is_file():
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix="dras-source-")
    try:
        yield folder
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _voxels(memory: int, header: Read) -> NDArray[np.float32]:
    """Map what the process has written, if it is what its header says; no voxel is copied."""
    if min(header.shape) < 1 or math.prod(header.shape) > MOST_VOXELS:
        raise StudyRefused(Code.READER_CRASHED, how="a volume of another size than told")
    voxels: NDArray[np.float32] = _mapped(memory, header.shape, np.float32)
    if not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):
        del voxels  # which the traceback would keep, its descriptor too
        raise StudyRefused(Code.READER_CRASHED, how="a volume of no numbers")
    return voxels


def _mapped(memory: int, shape: tuple[int, int, int], dtype: type[np.generic]) -> NDArray[Any]:
    """Map memory of just this size for us alone; the pages that we write to become our own."""
    _seal(memory)
    n_bytes = np.dtype(dtype).itemsize * math.prod(shape)
    if os.fstat(memory).st_size != n_bytes:
        raise StudyRefused(Code.READER_CRASHED, how="a volume of another size than told")
    mapped = mmap.mmap(memory, n_bytes, access=mmap.ACCESS_COPY)
    return np.frombuffer(mapped, dtype=dtype).reshape(shape)


def _seal(memory: int) -> None:
    """See to it that nobody can write to the memory any more, or cut it short, which would end us by SIGBUS."""
    if not hasattr(os, "memfd_create"):  # a file has no seals
        return
    give_up_at = time.monotonic() + _LETTING_GO_S
    while True:
        try:
            fcntl.fcntl(
                memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            )
        except OSError as error:
            # A decoder that has just ended may hold its mapping for a moment more on a busy machine.
            if time.monotonic() > give_up_at:
                raise StudyRefused(
                    Code.READER_CRASHED, how="memory that something still writes to"
                ) from error
            time.sleep(0.01)
        else:
            return
