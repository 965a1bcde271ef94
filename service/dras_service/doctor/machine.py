"""Whether the machine can shut untrusted files in, keeps its clock, and has the GPU that is asked for."""

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from dras_service.doctor.faults import Fault, FaultCode
from dras_service.errors import CannotServe
from dras_service.settings import Settings
from dras_service.store.engine import open_engine
from dras_service.worker.selftest import check

_PROBE_LIMIT_S = 30.0
_MOST_APART_S = 5.0  # a tenth of a lease, and the leeway of a token is more
_UNSYNCHRONISED = 5  # TIME_ERROR, adjtimex(2)

# Confinement binds a process for good, so it is tried in one of its own, as the reader's child does it.
_SANDBOX = """
import json, os
from dras_model.imaging.reading.confinement import confine
from dras_model.imaging.reading.landlock import enter_domain
from dras_model.imaging.reading.limits import Limits
landlock = enter_domain()
print(json.dumps({"landlock": landlock, "guards": confine(Limits(), parent=os.getppid())}))
"""
_PROVIDERS = "import json, onnxruntime; print(json.dumps(onnxruntime.get_available_providers()))"


def run_python(program: str) -> str:
    """Run a few lines in a fresh interpreter and return what they print. Raises OSError with why not."""
    try:
        done = subprocess.run(  # noqa: S603 - the programs are the constants above
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=_PROBE_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError("the probe does not end") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise OSError(last[0].partition(":")[0])
    return done.stdout


def check_sandbox(*, run: Callable[[str], str] = run_python) -> Iterator[Fault]:
    """Yield what the process that reads untrusted files would lack."""
    try:
        found = json.loads(run(_SANDBOX))
    except (OSError, ValueError) as error:
        yield Fault.of(FaultCode.SANDBOX_MISSING, reason=str(error) or "unknown")
        return
    missing = [] if found["landlock"] else ["Landlock"]
    if "filter" not in found["guards"]:
        missing.append("a seccomp filter")
    if "namespace" not in found["guards"]:
        missing.append("a network namespace")
    # A filter alone keeps the network out; a namespace alone does not keep other programs out.
    if missing and missing != ["a network namespace"]:
        yield Fault.of(FaultCode.SANDBOX_WEAK, missing=" and ".join(missing))


def check_gpu(settings: Settings, *, run: Callable[[str], str] = run_python) -> Iterator[Fault]:
    """Yield why CUDA cannot be used, where the settings want it."""
    if settings.worker.device != "cuda":
        return
    try:
        providers = json.loads(run(_PROVIDERS))
    except (OSError, ValueError):
        yield Fault.of(FaultCode.GPU_NOT_USABLE, reason="onnxruntime cannot be loaded")
        return
    if "CUDAExecutionProvider" not in providers:
        yield Fault.of(FaultCode.GPU_NOT_USABLE, reason="the onnxruntime that is installed has no CUDA")
    elif not _has_driver():
        yield Fault.of(FaultCode.GPU_NOT_USABLE, reason="no NVIDIA driver answers")


def check_bundle(*, prove: Callable[[], object] = check) -> Iterator[Fault]:
    """Yield why the bundles of the settings cannot be opened: hashes and golden vectors, as a worker tries them."""
    try:
        prove()
    except CannotServe as refusal:
        if refusal.code == "BLOBS_UNAVAILABLE":
            return  # `check_disks` and `check_object_store` say so
        yield Fault.of(FaultCode.BUNDLE_REFUSED, code=refusal.code, sentence=str(refusal))


def check_clock(
    settings: Settings, *, now: Callable[[], float] = time.time, state: Callable[[], int] | None = None
) -> Iterator[Fault]:
    """Yield how this machine's clock differs from the database server's, and whether anybody keeps it."""
    if (state or _clock_state)() == _UNSYNCHRONISED:
        yield Fault.of(FaultCode.CLOCK_NOT_SYNCHRONISED)
    if make_url(settings.store_url).get_backend_name() == "sqlite":
        return
    engine = open_engine(settings.store_url)
    try:
        with engine.connect() as connection:
            theirs = float(
                connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
            )
    except SQLAlchemyError:
        return  # `check_database` says so
    finally:
        engine.dispose()
    apart_s = abs(now() - theirs)
    if apart_s > _MOST_APART_S:
        yield Fault.of(FaultCode.CLOCK_WRONG, other="database", seconds=apart_s)


def _clock_state() -> int:
    """Return adjtimex(2)'s answer; 0 where the system has none."""
    buffer = ctypes.create_string_buffer(256)  # struct timex, all modes off: it reads only
    try:
        return int(ctypes.CDLL(None).adjtimex(buffer))
    except (AttributeError, OSError):
        return 0


def _has_driver() -> bool:
    try:
        import pynvml  # noqa: PLC0415 - an extra

        pynvml.nvmlInit()
        return bool(pynvml.nvmlDeviceGetCount())
    except Exception:  # noqa: BLE001 - whatever it is, there is no GPU to be used
        return False
