"""Computing on this machine: a worker process a place, watched, and replaced when it is gone or has gone too far.

A worker is a process of its own so that a case can end it, by a codec, by memory or by never ending, and harm no
other. What is too much for its share of the memory or of the time is ended and told as that.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from dras_model.imaging.parallel import available_cores
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.errors import SetupRefused
from dras_service.batch.cases import Case, Done, Failed, GivenBack, Lost, Outcome
from dras_service.batch.job import Here, Options
from dras_service.batch.messages import SAID, At, Defect, Finished, Order, Ready, Refused, Said, Setup
from dras_service.batch.places import Notes

COMMAND = (sys.executable, "-m", "dras_service.batch.worker")
ROOMY_MB = 4096  # for a worker: what a study of 1,000 slices takes (docs/scaling.md)
_FREE_SHARE = 0.8
_BEAT_S = 0.5  # between two looks at a worker that says nothing
_LEAST_WAIT_S = 0.01
_START_WITHIN_S = 300.0  # opening weights on a machine that is busy
_CASES_A_WORKER = 200  # after which a worker is replaced: what libraries leak stays small
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a worker may take for a case."""

    memory_mb: int
    time_limit_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How many workers there are, which cores each has, and what each may take."""

    cores: tuple[tuple[int, ...], ...]
    bounds: Bounds


def plan_for(here: Here) -> Plan:
    """Share cores and memory out among the workers; fewer than cores where memory is short."""
    memory_mb = here.memory_mb or int(_FREE_SHARE * free_mb())
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    most = min(available_cores(), max(1, memory_mb // ROOMY_MB))
    workers = here.workers or (1 if here.device == "cuda" else most)
    shares = [tuple(cores[place::workers]) for place in range(workers)]
    alone = workers == 1 or len(cores) < workers  # then the system shares the cores out
    return Plan(
        cores=tuple(() if alone else share for share in shares),
        bounds=Bounds(max(1, memory_mb // workers), here.time_limit_s),
    )


def setup_for(options: Options, here: Here, cores: tuple[int, ...] = ()) -> Setup:
    """Return what a worker is told first."""
    return Setup(
        parent=os.getpid(),
        bundle=options.bundle,
        atlas=options.atlas,
        segmenter=options.segmenter,
        device=here.device,
        threads=here.threads or (len(cores) or None),
        cores=cores,
        options=options.job.written(),
    )


class WorkerPlace:
    """One worker and the cases it is given. Used by one thread at a time; `stop` may be set by another."""

    def __init__(
        self, setup: Setup, bounds: Bounds, *, log: Path, stop: Event, command: Sequence[str] = COMMAND
    ) -> None:
        self._setup = setup
        self._bounds = bounds
        self._log = log
        self._stop = stop
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting = b""
        self._n_cases = 0

    def compute(self, case: Case, source: Path, out: Path, *, notes: Notes) -> Outcome:
        """Have a case computed. Raises as `Place` says."""
        process = self._process or self._start()
        self._n_cases += 1
        order = Order(source=str(source.absolute()), out=str(out.absolute()), series_uid=case.series_uid)
        began_at = looked_at = time.monotonic()
        try:
            self._send(process, order.model_dump_json())
            while True:
                said = self._heard(process, began_at + self._bounds.time_limit_s)
                if isinstance(said, At):
                    notes.at(said.stage.value, said.fraction)
                elif said is not None:
                    return self._sorted(said)
                if time.monotonic() - looked_at >= _BEAT_S:
                    looked_at = time.monotonic()
                    if limit := self._broken_limit(process, began_at):
                        self.end()
                        return Failed.of(Code.CASE_LIMIT, limit=limit)
        except _Ended:
            return Lost(self._post_mortem())
        finally:
            if self._n_cases >= _CASES_A_WORKER:
                self.end()

    def end(self) -> None:
        """End the worker at once; the next case gets a new one."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was not sent cannot be flushed
                    stream.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = os.environ | _ONE_THREAD
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # an interrupt from the keyboard is ours to pass on
            )
        self._process, self._waiting, self._n_cases = process, b"", 0
        try:
            self._send(process, self._setup.model_dump_json())
            said = None
            deadline = time.monotonic() + _START_WITHIN_S
            while said is None and time.monotonic() < deadline:
                said = self._heard(process, deadline)
        except _Ended as ended:
            raise _no_worker(self._post_mortem(), self._log) from ended
        if isinstance(said, Ready):
            return process
        self.end()
        if isinstance(said, Refused):
            raise SetupRefused(said.code, **said.fields)
        raise _no_worker("it says nothing", self._log)

    def _send(self, process: "subprocess.Popen[bytes]", line: str) -> None:
        try:
            if process.stdin is not None:
                process.stdin.write(line.encode() + b"\n")
                process.stdin.flush()
        except OSError as broken:
            raise _Ended from broken

    def _heard(self, process: "subprocess.Popen[bytes]", deadline: float) -> Said | None:
        """Return the next thing a worker says, None when it is silent for a beat. Raises _Ended, GivenBack."""
        while b"\n" not in self._waiting:
            if self._stop.is_set():
                self.end()
                raise GivenBack
            if not _readable(process, min(_BEAT_S, max(_LEAST_WAIT_S, deadline - time.monotonic()))):
                return None
            chunk = os.read(process.stdout.fileno(), 1 << 16) if process.stdout else b""
            if not chunk:
                raise _Ended
            self._waiting += chunk
        line, _, self._waiting = self._waiting.partition(b"\n")
        return SAID.validate_json(line)

    def _sorted(self, said: Said) -> Outcome:
        match said:
            case Finished():
                return Done(said.status)
            case Refused() if CODES[said.code].kind is Kind.SETUP:
                raise SetupRefused(said.code, **said.fields)
            case Refused():
                return Failed.of(said.code, **said.fields)
            case Defect():
                return Failed.of(Code.CASE_CRASHED, how=said.how)
        raise TypeError(f"a worker says {said.kind}")

    def _broken_limit(self, process: "subprocess.Popen[bytes]", began_at: float) -> str | None:
        if time.monotonic() - began_at > self._bounds.time_limit_s:
            return f"{self._bounds.time_limit_s:g} seconds"
        if resident_mb(process.pid) > self._bounds.memory_mb:
            return f"{self._bounds.memory_mb} MB of memory"
        return None

    def _post_mortem(self) -> str:
        """Say how the worker ended, and see to it that it did."""
        process = self._process
        with suppress(subprocess.TimeoutExpired):
            if process is not None:
                process.wait(_BEAT_S)
        status = None if process is None else process.returncode
        self.end()
        if status is None or status >= 0:
            return f"its process ended with status {status}"
        try:
            return f"its process was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"its process was ended by signal {-status}"


class _Ended(Exception):
    """The worker is gone."""


def _readable(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        if process.stdout is not None:
            selector.register(process.stdout, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


def _no_worker(how: str, log: Path) -> SetupRefused:
    return SetupRefused(Code.WORKER_UNAVAILABLE, reason=f"{how}, {log} may say more")


def resident_mb(pid: int) -> float:
    """Return what a process holds in memory, 0 where the system does not say."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024.0
    return 0.0


def free_mb() -> float:
    """Return how much memory is free: of the machine, or of the container where that has less."""
    found = []
    with suppress(OSError, ValueError):
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        found.append(int(told["MemAvailable"].split()[0]) / 1024.0)
    with suppress(OSError, ValueError):
        cgroup = Path("/sys/fs/cgroup")
        most, used = (int((cgroup / f"memory.{name}").read_text()) for name in ("max", "current"))
        found.append((most - used) / (1 << 20))
    return min(found) if found else float(ROOMY_MB)
