"""Whether the disks can be written, see data down, and have room, and whether the bucket of the blobs can be."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from dras_service.doctor.faults import Fault, FaultCode
from dras_service.settings import Settings
from dras_service.store.errors import StoreError
from dras_service.store.opening import open_blobs

_MEGABYTE = 1 << 20


def check_disks(
    settings: Settings,
    *,
    sync: Callable[[int], None] = os.fsync,
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> Iterator[Fault]:
    """Yield what is wrong with the disks that the settings name; the functions are for tests."""
    folders = {"the database": settings.data, "the blobs": settings.blob_folder}
    for what, folder in folders.items():
        written = _write(folder, what, sync)
        if written is not None:
            yield written
            continue
        free = free_bytes(folder)
        least = settings.gateway.least_free_bytes
        if free < least:
            yield Fault.of(
                FaultCode.DISK_NEARLY_FULL, what=what, free_mb=free // _MEGABYTE, least_mb=least // _MEGABYTE
            )


def check_object_store(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with the bucket of the blobs, where the settings name one."""
    if settings.blobs.url is None:
        return
    try:
        blobs = open_blobs(settings)
        blobs.prepare()
        blobs.check()
    except (StoreError, OSError) as error:
        yield Fault.of(FaultCode.DISK_NOT_WRITABLE, what="the object store", reason=str(error))
    except ImportError:
        yield Fault.of(FaultCode.DISK_NOT_WRITABLE, what="the object store", reason="pip install 'dras[s3]'")


def _write(folder: Path, what: str, sync: Callable[[int], None]) -> Fault | None:
    """Write a file, see it and its folder down, and remove it."""
    probe = folder / f"doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0")
    except OSError as error:
        return Fault.of(FaultCode.DISK_NOT_WRITABLE, what=what, reason=error.strerror or "unknown")
    try:
        for path in (probe, folder):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        return Fault.of(FaultCode.DISK_NOT_DURABLE, what=what, reason=error.strerror or "unknown")
    finally:
        probe.unlink(missing_ok=True)
    return None
