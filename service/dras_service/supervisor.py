"""The worker's process, watched by the one that serves: started, started again, and ended by its pid."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

from dras_service.errors import CannotServe
from dras_service.settings import Settings

_READY = "ready"  # the worker's first line
_log = logging.getLogger(__name__)
_BLOCK = 1 << 16
_MOST_PAUSE_S = 30.0
_GIVE_BACK_S = 5.0
_HEALTHY_AFTER_S = 60.0  # a worker that lived as long is started again without a pause


class WorkerProcess:
    """One `python -m dras_service.worker`, in a session of its own so that Ctrl-C reaches only us."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it takes work. Raises CannotServe with what it says instead."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dras_service.worker",
            "--attached",
            env=_without_settings(os.environ) | self._settings.environment(),
            # Held open as long as we live: the worker ends when it closes, however we went.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        said = await process.stdout.readline() if process.stdout else b""
        line = said.decode(errors="replace").strip()
        if line != _READY:
            code, _, sentence = line.partition(" ")
            raise CannotServe(
                code or "WORKER_NOT_STARTED",
                sentence or "The worker process ended before it took work; its log above tells why.",
            )

    async def keep_alive(self) -> None:
        """Start the process again whenever it ends, with growing pauses while it keeps ending."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while self._process is not None:
            started_at = loop.time()
            status = await _watch(self._process)
            if loop.time() - started_at > _HEALTHY_AFTER_S:
                pause_s = 0.0
            _log.error("the worker ended with status %d; it is started again in %.0f s", status, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(max(1.0, 2 * pause_s), _MOST_PAUSE_S)
            try:
                await self.start()
            except CannotServe as fault:
                _log.error("the worker does not start: %s: %s", fault.code, fault)

    async def stop(self) -> None:
        """Let the worker finish what it does, for as long as the settings grant, then end it and its children."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            # The worker gives back what it has not finished by then; that takes it a moment.
            async with asyncio.timeout(self._settings.worker.shutdown_grace_s + _GIVE_BACK_S):
                await process.wait()
        except TimeoutError:
            # It leads a session of its own: the group is the worker and its children, nobody else.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _watch(process: asyncio.subprocess.Process) -> int:
    """Wait for the end, and read on: a full pipe would stop whoever prints."""
    while process.stdout and await process.stdout.read(_BLOCK):
        pass
    return await process.wait()


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Drop `DRAS_TOPIC__NAME`, which would win over the topic as a whole."""
    return {
        name: value for name, value in environment.items() if not (name.startswith("DRAS_") and "__" in name)
    }
