"""What would be used of a study and what would be warned, found by another process under limits.

A few at once, each with a time limit and a folder for its temporary files that goes with it. Nothing is kept.
A gateway that is installed without `dras[reading]` looks at none, and says so. Leaves out the limits of reading
itself, which are those of a job: `dras_model.imaging.reading`.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from dras_service.api.problems import ProblemCode
from dras_service.api.validation import Validation
from dras_service.gateway.problems import ProblemRaised
from dras_service.settings import GatewaySettings
from dras_service.store.blobs import BlobStore

_log = logging.getLogger(__name__)
# All that the process learns of our environment; settings and their secrets are not its business.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
_READER = "pydicom"  # of the extra `reading`, which is whole or not there
_MOST_SAID = 16 << 20  # bytes of a Validation: 20,000 series would have 6 MB


class Inspector:
    """Looks at studies, a bounded number at once."""

    def __init__(self, blobs: BlobStore, limits: GatewaySettings) -> None:
        self._blobs = blobs
        self._limits = limits
        self._under_way = 0

    async def inspect(self, source: Path, *, series_uid: str | None) -> Validation:
        """Look at the study at `source`.

        Raises ProblemRaised: VALIDATION_NOT_OFFERED, TOO_BUSY, VALIDATION_FAILED.
        """
        if find_spec(_READER) is None:
            raise ProblemRaised(ProblemCode.VALIDATION_NOT_OFFERED)
        limit = self._limits.max_validations
        if self._under_way >= limit:
            raise ProblemRaised(
                ProblemCode.TOO_BUSY, retry_after_s=self._limits.retry_after_s, limit=str(limit)
            )
        self._under_way += 1
        try:
            with self._blobs.scratch() as scratch:
                return await self._run(source, series_uid or "", scratch)
        finally:
            self._under_way -= 1

    async def _run(self, source: Path, series_uid: str, scratch: Path) -> Validation:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "dras_service.inspector",
            str(source),
            series_uid,
            env=_environment(os.environ) | {"TMPDIR": str(scratch)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # it may quote what it reads
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._limits.validation_limit_s):
                said = await _read(process)
                status = await process.wait()
            if status == 0:
                return Validation.model_validate_json(said)
            _log.error("the inspector ended with status %d", status)
        except TimeoutError:
            _log.warning("an inspection took too long")
        except ValidationError:
            _log.error("the inspector said something unexpected")
        finally:
            await _end(process)
        raise ProblemRaised(ProblemCode.VALIDATION_FAILED, limit_s=self._limits.validation_limit_s)


async def _read(process: asyncio.subprocess.Process) -> bytes:
    """Return what the process writes, up to the limit."""
    said = bytearray()
    while process.stdout and (block := await process.stdout.read(1 << 16)):
        said += block
        if len(said) > _MOST_SAID:
            break
    return bytes(said)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and what it started; its session is its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _ENVIRONMENT if name in environment}
