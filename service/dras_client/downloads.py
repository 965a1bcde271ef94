"""Files of a result: each whole and with the digest that was announced, or not at all.

A download that breaks is gone on with from where it broke; files never change, so that the parts fit.
"""

import hashlib
import io
import tempfile
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from dras_client.errors import ArtifactNotFound, DownloadCorrupt, DrasClientError
from dras_client.exchange import Exchange
from dras_client.wire import Ask
from dras_service.api.jobs import ArtifactList, ArtifactView
from dras_service.api.problems import Problem, ProblemCode

_BLOCK = 1 << 18
_PART = 206


async def artifacts(exchange: Exchange, job: str) -> tuple[ArtifactView, ...]:
    """List the files of the result at the path `job`."""
    return (await exchange.get(f"{job}/artifacts", ArtifactList)).artifacts


async def artifact(exchange: Exchange, job: str, name: str) -> ArtifactView:
    """Return one file's description. Raises ArtifactNotFound."""
    for file in await artifacts(exchange, job):
        if file.name == name:
            return file
    raise ArtifactNotFound(Problem.of(ProblemCode.ARTIFACT_NOT_FOUND).model_dump())


async def fetched(exchange: Exchange, job: str, name: str) -> io.BytesIO:
    """Return one file in memory. Raises ArtifactNotFound, DownloadCorrupt."""
    content = io.BytesIO()
    await _fetch(exchange, job, await artifact(exchange, job, name), content)
    content.seek(0)
    return content


async def saved(exchange: Exchange, job: str, file: ArtifactView, path: Path) -> Path:
    """Save a file at `path`. Raises DownloadCorrupt, and OSError where it cannot be written."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".dras-") as room:
        arriving = Path(room) / "file"
        with arriving.open("wb") as target:
            await _fetch(exchange, job, file, target)
        arriving.replace(path)
    return path


class _Landing:
    """What has arrived of a file."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.n_bytes = 0
        self.digest = hashlib.sha256()

    def take(self, block: bytes) -> None:
        """Write a block."""
        self.digest.update(block)
        self._target.write(block)
        self.n_bytes += len(block)

    def restart(self) -> None:
        """Forget what was written."""
        self._target.seek(0)
        self._target.truncate()
        self.n_bytes = 0
        self.digest = hashlib.sha256()


async def _fetch(exchange: Exchange, job: str, file: ArtifactView, target: BinaryIO) -> None:
    """Write a file's content to an empty `target`."""
    path = (
        f"{job}/artifacts/{quote(file.name, safe='')}"  # the service's link could lead elsewhere with the key
    )
    landing, patience = _Landing(target), exchange.patience()
    while landing.n_bytes < file.size_bytes:
        headers = {"Accept-Encoding": "identity"}
        if landing.n_bytes:
            headers |= {"Range": f"bytes={landing.n_bytes}-", "If-Range": f'"{file.sha256}"'}
        try:
            async with exchange.open(Ask("GET", path, headers=headers)) as arriving:
                if arriving.head.status_code != _PART:
                    landing.restart()
                async with aclosing(arriving.blocks(_BLOCK)) as blocks:
                    async for block in blocks:
                        await exchange.wire.work(partial(landing.take, block))
                        patience.moved()
            break
        except DrasClientError as fault:
            await exchange.bear(fault, patience)
    if landing.digest.hexdigest() != file.sha256:
        raise DownloadCorrupt(f"{file.name} arrived with another hash than was announced.")
